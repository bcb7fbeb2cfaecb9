//! The command line: the settings, and what to do with them.

use clap::{Parser, Subcommand};

use super::Arguments;

/// A stateless API that orchestrates LiveKit livestreams. Without a command, the service itself.
#[derive(Clone, Debug, Parser)]
#[command(name = "livestream-orchestrator", version, disable_help_subcommand = true)]
pub struct CommandLine {
    /// The settings.
    #[command(flatten)]
    pub arguments: Arguments,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary can do besides serving.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Ask the instance that runs with these settings on this machine whether it is ready: 0 if it is, 1 if not
    Healthcheck,
    /// Try the settings against Redis and LiveKit and say in words what is wrong: 0 if nothing is, 1 otherwise
    Check {
        /// Wait for one of LiveKit's webhooks as well
        #[arg(long)]
        webhooks: bool,
    },
}
