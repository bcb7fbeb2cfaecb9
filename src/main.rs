//! The binary: settings, logging, one instance until a signal; or one of the commands beside.

use std::process::ExitCode;

use clap::Parser;
use livestream_orchestrator::{
    app::App,
    check,
    settings::{Command, CommandLine, Settings, SettingsError},
    telemetry::logging,
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Every request makes and drops hundreds of small strings; see docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let CommandLine { arguments, command } = CommandLine::parse();
    let done = match command {
        None => arguments.check().map(serve),
        Some(Command::Healthcheck) => arguments.address().map(|address| run(healthcheck(address))),
        Some(Command::Check { webhooks }) => {
            arguments.check().map(|settings| run(try_out(settings, webhooks)))
        }
    };
    done.unwrap_or_else(|error: SettingsError| {
        // Logging needs settings itself.
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn run(task: impl Future<Output = ExitCode>) -> ExitCode {
    match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => {
            eprintln!("no runtime can be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logging lasts longer than the runtime, whose end may still log.
fn serve(settings: Settings) -> ExitCode {
    match logging::start(settings.log_format) {
        Ok(_guard) => run(serve_until_signalled(settings)),
        Err(error) => {
            eprintln!("logging cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_until_signalled(settings: Settings) -> ExitCode {
    let dev = settings.dev;
    let served = async {
        let app = App::build(settings).await?;
        if dev {
            tracing::info!("dev mode: open http://localhost:{}", app.address()?.port());
        }
        app.run_until(signalled()).await
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn healthcheck(address: std::net::SocketAddr) -> ExitCode {
    check::healthcheck(address).await.map_or_else(
        |words| {
            eprintln!("{words}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

#[expect(clippy::print_stdout, reason = "what a command finds is its output")]
async fn try_out(settings: Settings, webhooks: bool) -> ExitCode {
    let wrong = check::check(&settings, webhooks, |finding| println!("{finding}")).await;
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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
