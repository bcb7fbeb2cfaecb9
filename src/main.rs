//! The binary: settings, logging, one instance until a signal.

use std::process::ExitCode;

use clap::Parser;
use livestream_orchestrator::{app::App, settings::Arguments, telemetry::logging};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let settings = match Arguments::parse().check() {
        Ok(settings) => settings,
        Err(error) => {
            // Logging needs settings itself.
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    logging::start(settings.log_format);
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            runtime.block_on(async {
                let dev = settings.dev;
                let app = App::build(settings).await?;
                if dev {
                    tracing::info!("dev mode: open http://localhost:{}", app.address()?.port());
                }
                app.run_until(signalled()).await
            })
        });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGTERM or SIGINT.
async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
