//! One call of Redis, wherever a cluster has put the slot of our keys.
//!
//! A call is sent again only where the answer says that nothing was done (`MOVED`, `ASK`, `TRYAGAIN`). One whose answer
//! was lost may have been carried out: that is for the caller to find out.

use std::time::Duration;

use futures_util::future::{BoxFuture, join};
use redis::{Cmd, Pipeline, Script, Value, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

use super::{
    Connector,
    brake::jittered,
    failure::{Failure, Kind, Redirect},
    node::{self, Node, Question},
};

/// How long a call may wait for a slot that is being moved.
const MOVING_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two attempts meanwhile.
const MOVING_PAUSE: Duration = Duration::from_millis(30);

/// What is asked of Redis.
#[derive(Clone, Copy)]
pub enum Request<'a> {
    /// One command.
    Command(&'a Cmd),
    /// Several that only read, each for itself.
    Reads(&'a Pipeline),
    /// A script, by its hash; one that Redis has forgotten is loaded again.
    Script {
        /// Which.
        script: &'a Script,
        /// Its keys.
        keys: &'a [String],
        /// One more, which it does not use.
        never: Option<&'a str>,
        /// Its arguments.
        args: &'a [String],
    },
}

impl Connector {
    /// Asks, and waits for the answer for a bounded time.
    ///
    /// # Errors
    /// What went wrong. Whether a change was made is not known then, unless the kind says that it was refused.
    pub fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(self.call_until(request, Instant::now() + MOVING_TIMEOUT))
    }

    /// As [`Self::call`], for somebody who can ask otherwise where the slot is being moved.
    ///
    /// # Errors
    /// As there; one that [`Failure::waits_for_slot`] at once.
    pub fn call_at_once<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(self.attempt(request))
    }

    async fn call_until(&self, request: Request<'_>, deadline: Instant) -> Result<Value, Failure> {
        loop {
            let failure = match self.attempt(request).await {
                Ok(value) => return Ok(value),
                Err(failure) if !failure.waits_for_slot() => return Err(failure),
                Err(failure) => failure,
            };
            if Instant::now() >= deadline {
                return Err(failure);
            }
            sleep(jittered(MOVING_PAUSE)).await;
        }
    }

    async fn attempt(&self, request: Request<'_>) -> Result<Value, Failure> {
        let lane = self.lanes.here();
        let placed = lane.connection(&self.way).await?;
        let answer = request.send(&mut placed.connection.clone(), self.way.question()).await;
        let place = &placed.place;
        let locator = self.way.locator();
        let failure = match answer {
            // What a server says that is not the master any more may be undone already.
            Ok(_) if !locator.is_present(place) => {
                return Err(Failure::new(Kind::Superseded, "the master has changed meanwhile"));
            }
            Ok(value) => {
                placed.has_answered();
                return Ok(value);
            }
            Err(failure) => failure,
        };
        self.way.learn(&placed, &failure);
        if failure.spoils_connection() {
            lane.leave(&placed);
        }
        match &failure.redirect {
            Some(Redirect::Moved(to)) => locator.moved(place, to)?,
            Some(Redirect::Ask(to)) => {
                let node = place.node.named_by(to);
                let node = node.ok_or_else(|| Failure::new(Kind::Other, "ASK to what is no address"))?;
                return self.ask_aside(node, request).await;
            }
            None => {}
        }
        Err(failure)
    }

    /// Asks where the slot is being moved to.
    async fn ask_aside(&self, node: Node, request: Request<'_>) -> Result<Value, Failure> {
        if let Request::Reads(commands) = request {
            // Some keys are there already and some are not.
            let mut values = Vec::new();
            for command in commands.cmd_iter() {
                values.push(self.call(Request::Command(command)).await?);
            }
            return Ok(Value::Array(values));
        }
        let mut connection = self.way.aside(node).await?;
        let answer = request.send_asking(&mut connection).await;
        if answer.as_ref().is_err_and(Failure::spoils_connection) {
            self.way.leave_aside().await;
        }
        answer
    }
}

/// Sends a command with the question behind it, as one.
async fn ask_beside(
    connection: &mut MultiplexedConnection,
    question: Question,
    command: Cmd,
) -> Result<Value, Failure> {
    let mut both = redis::pipe();
    both.add_command(command);
    match question {
        Question::Role => both.cmd("ROLE"),
        // That an answer came at all is enough.
        Question::Ping => &mut both,
    };
    let mut answers = connection.send_packed_commands(&both, 0, both.len()).await?.into_iter();
    let answer = answers.next().unwrap_or(Value::Nil).extract_error()?;
    if let Some(role) = answers.next() {
        node::shows_master(role.extract_error())?;
    }
    Ok(answer)
}

impl Request<'_> {
    /// The command that runs a script.
    fn evalsha(script: &Script, keys: &[String], never: Option<&str>, args: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        let count = keys.len() + usize::from(never.is_some());
        command.arg(script.get_hash()).arg(count).arg(keys).arg(never).arg(args);
        command
    }

    /// Sends it, and asks in the same breath whether whoever answers is a master: a replica would answer reads with what
    /// was.
    async fn send(
        self,
        connection: &mut MultiplexedConnection,
        question: Question,
    ) -> Result<Value, Failure> {
        match self {
            Self::Command(command) => ask_beside(connection, question, command.clone()).await,
            Self::Reads(commands) => {
                let mut beside = connection.clone();
                let (answers, role) =
                    join(commands.query_async::<Value>(connection), node::examine(&mut beside, question))
                        .await;
                let values = answers?;
                role?;
                Ok(values)
            }
            Self::Script { script, keys, never, args } => {
                let command = || Self::evalsha(script, keys, never, args);
                match ask_beside(connection, question, command()).await {
                    Err(failure) if failure.kind == Kind::NoScript => {
                        script.load_async(connection).await?;
                        ask_beside(connection, question, command()).await
                    }
                    answer => answer,
                }
            }
        }
    }

    /// As [`Self::send`], to a node that a slot is being moved to. Both commands go out together, so that nobody else's
    /// comes between them.
    async fn send_asking(self, connection: &mut MultiplexedConnection) -> Result<Value, Failure> {
        let asking = |command: Cmd| {
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(command);
            both
        };
        let first = |mut values: Vec<Value>| values.pop().unwrap_or(Value::Nil);
        match self {
            Self::Command(command) => Ok(first(asking(command.clone()).query_async(connection).await?)),
            // These are asked for one by one.
            Self::Reads(_) => Ok(Value::Nil),
            Self::Script { script, keys, never, args } => {
                let both = asking(Self::evalsha(script, keys, never, args));
                match both.query_async(connection).await.map_err(Failure::from) {
                    Err(failure) if failure.kind == Kind::NoScript => {
                        script.load_async(connection).await?;
                        Ok(first(both.query_async(connection).await?))
                    }
                    answer => answer.map(first),
                }
            }
        }
    }
}
