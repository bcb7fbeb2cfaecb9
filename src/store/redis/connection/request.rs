//! Commands and scripts as they are sent on one connection, with the master probe behind each.

use futures_util::future::join;
use redis::{Cmd, Pipeline, Script, Value, aio::MultiplexedConnection};

use super::{
    failure::{Failure, FailureKind},
    node::{self, Probe},
};

/// A request to Redis.
#[derive(Clone, Copy)]
pub enum Request<'a> {
    /// One command.
    Command(&'a Cmd),
    /// Independent commands that only read. A redirect repeats them one by one.
    Reads(&'a Pipeline),
    /// A script, sent by its hash; loaded again where Redis has lost it.
    Script {
        /// The script.
        script: &'a Script,
        /// The keys that it uses.
        keys: &'a [String],
        /// A key that never exists, which makes a node refuse the script during a slot migration (`TRYAGAIN`).
        absent_key: Option<&'a str>,
        /// Its arguments.
        args: &'a [String],
    },
}

impl Request<'_> {
    /// Sends the request with a probe behind it, and discards the answer of a replica, whose data may be stale.
    ///
    /// # Errors
    /// Redis's error, [`FailureKind::Replica`] from a replica, and connection failures.
    pub(super) async fn send(
        self,
        connection: &mut MultiplexedConnection,
        probe: Probe,
    ) -> Result<Value, Failure> {
        match self {
            Self::Command(command) => send_probed(connection, probe, command.clone()).await,
            Self::Reads(commands) => {
                let mut same = connection.clone();
                let reads = commands.query_async::<Value>(connection);
                let (values, probed) = join(reads, node::probe(&mut same, probe)).await;
                let values = values?;
                probed?;
                Ok(values)
            }
            Self::Script { script, keys, absent_key, args } => {
                let command = || evalsha(script, keys, absent_key, args);
                match send_probed(connection, probe, command()).await {
                    Err(failure) if failure.kind == FailureKind::NoScript => {
                        script.load_async(connection).await?;
                        send_probed(connection, probe, command()).await
                    }
                    answer => answer,
                }
            }
        }
    }

    /// Sends the request behind `ASKING` to the node that imports the slot. [`Request::Reads`] is answered with nil,
    /// because the caller sends its commands one by one.
    ///
    /// # Errors
    /// Redis's error and connection failures.
    pub(super) async fn send_asking(self, connection: &mut MultiplexedConnection) -> Result<Value, Failure> {
        match self {
            Self::Command(command) => Ok(last(asking(command.clone()).query_async(connection).await?)),
            Self::Reads(_) => Ok(Value::Nil),
            Self::Script { script, keys, absent_key, args } => {
                let pipeline = asking(evalsha(script, keys, absent_key, args));
                match pipeline.query_async(connection).await.map_err(Failure::from) {
                    Err(failure) if failure.kind == FailureKind::NoScript => {
                        script.load_async(connection).await?;
                        Ok(last(pipeline.query_async(connection).await?))
                    }
                    answer => answer.map(last),
                }
            }
        }
    }
}

/// Sends a command and a probe in one write, so the same server answers both.
async fn send_probed(
    connection: &mut MultiplexedConnection,
    probe: Probe,
    command: Cmd,
) -> Result<Value, Failure> {
    let mut pipeline = redis::pipe();
    pipeline.add_command(command);
    if probe == Probe::Role {
        pipeline.cmd("ROLE");
    }
    // With Probe::Ping the command's own answer shows that the server answers.
    let mut answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?.into_iter();
    let answer = answers.next().unwrap_or(Value::Nil).extract_error()?;
    if let Some(role) = answers.next() {
        node::is_master_role(role.extract_error())?;
    }
    Ok(answer)
}

/// The command that runs a script by its hash.
fn evalsha(script: &Script, keys: &[String], absent_key: Option<&str>, args: &[String]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    let count = keys.len() + usize::from(absent_key.is_some());
    command.arg(script.get_hash()).arg(count).arg(keys).arg(absent_key).arg(args);
    command
}

/// A command behind `ASKING`, in one write: on a shared connection another command could otherwise come between them.
fn asking(command: Cmd) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("ASKING").ignore().add_command(command);
    pipeline
}

fn last(mut values: Vec<Value>) -> Value {
    values.pop().unwrap_or(Value::Nil)
}
