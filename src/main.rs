//! The binary: serves until a signal, or runs one of the other commands.

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use livestream_orchestrator::{
    app::App,
    check::{self, Severity},
    settings::{Command, CommandLine, Settings, SettingsError},
    telemetry::logging,
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// A request allocates and frees hundreds of small strings; docs/PERFORMANCE.md has the measurement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for invalid settings, as clap uses it for invalid arguments.
const INVALID_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let CommandLine { arguments, command } = CommandLine::parse();
    let exit_code = match command {
        None => arguments.validate().map(serve),
        Some(Command::Healthcheck) => arguments.address().map(|address| run(healthcheck(address))),
        Some(Command::Check { webhooks }) => {
            arguments.validate().map(|settings| run(run_check(settings, webhooks)))
        }
    };
    exit_code.unwrap_or_else(|error: SettingsError| {
        // Not logged, because the log format is a setting.
        eprintln!("{error}");
        ExitCode::from(INVALID_SETTINGS)
    })
}

fn run(command: impl Future<Output = ExitCode>) -> ExitCode {
    match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            eprintln!("the Tokio runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The log guard outlives the runtime, because tasks log while the runtime shuts down.
fn serve(settings: Settings) -> ExitCode {
    match logging::start(settings.log_format) {
        Ok(_guard) => run(serve_until_signal(settings)),
        Err(error) => {
            eprintln!("logging cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_until_signal(settings: Settings) -> ExitCode {
    let dev = settings.dev;
    let served = async {
        let app = App::build(settings).await?;
        if dev {
            tracing::info!("dev mode: open http://localhost:{}", app.address()?.port());
        }
        app.run_until(shutdown_signal()).await
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn healthcheck(address: SocketAddr) -> ExitCode {
    match check::healthcheck(address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "findings are the output of the command")]
async fn run_check(settings: Settings, webhooks: bool) -> ExitCode {
    match check::check(&settings, webhooks, |finding| println!("{finding}")).await {
        Ok(Severity::Ok | Severity::Warning) => ExitCode::SUCCESS,
        Ok(Severity::Failure) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGTERM or SIGINT. Returns at once if no handler can be installed, which shuts the instance down.
async fn shutdown_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("the handlers of SIGTERM and SIGINT cannot be installed; shutting down");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
