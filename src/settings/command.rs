//! The command line: settings and a command.

use clap::{Parser, Subcommand};

use super::Arguments;

/// A stateless API that orchestrates LiveKit livestreams. Without a command, it serves the API.
#[derive(Clone, Debug, Parser)]
#[command(name = "livestream-orchestrator", version, disable_help_subcommand = true)]
pub struct CommandLine {
    /// The settings, not yet validated.
    #[command(flatten)]
    pub arguments: Arguments,
    /// The command; `None` serves the API.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A command that runs instead of the service.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Ask the instance that runs with these settings on this machine whether it is ready. Exit code 0 if it is, 1 if
    /// not
    Healthcheck,
    /// Examine Redis and LiveKit with these settings and report every fault. Exit code 0 if there is none, else 1
    Check {
        /// Also wait for a webhook from LiveKit
        #[arg(long)]
        webhooks: bool,
    },
}
