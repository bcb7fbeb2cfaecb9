//! The way to the master: opening connections, and telling whether they are good.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use redis::aio::MultiplexedConnection;
use tokio::{runtime::Handle, sync::Mutex, time::timeout};

use super::{
    OPEN_TIMEOUT,
    address::Access,
    brake::Brake,
    failure::{Failure, Kind},
    lane::Placed,
    locator::{Locator, Place},
    node::{self, Node, Question},
};

/// See the module's words. Clones lead the same way.
#[derive(Clone)]
pub struct Way(Arc<Inner>);

struct Inner {
    access: Access,
    locator: Arc<Locator>,
    brake: Brake,
    /// How often a connection has broken or gone silent. Those from before are not asked one after another, each with a
    /// wait of its own, whether they are still good.
    broken: AtomicU64,
    /// What is shared by all runtimes is driven by this one: HTTP workers have runtimes of their own that end before the
    /// process does.
    runtime: Handle,
    /// Whether this user may not ask a server for its role.
    only_pings: AtomicBool,
    /// To where a slot is being moved, while it is.
    aside: Mutex<Option<(Node, MultiplexedConnection)>>,
}

impl Way {
    pub(super) fn new(access: Access, locator: Arc<Locator>) -> Self {
        Self(Arc::new(Inner {
            access,
            locator,
            brake: Brake::default(),
            broken: AtomicU64::new(0),
            runtime: Handle::current(),
            only_pings: AtomicBool::new(false),
            aside: Mutex::default(),
        }))
    }

    pub(super) fn locator(&self) -> &Arc<Locator> {
        &self.0.locator
    }

    /// A client for subscriptions at a place.
    ///
    /// # Errors
    /// For certificates that cannot be understood.
    pub(super) fn client(&self, node: &Node) -> Result<redis::Client, Failure> {
        Ok(self.0.access.client(node)?)
    }

    /// Opens a connection to the master, driven by the runtime that this is called on.
    ///
    /// # Errors
    /// After a bounded wait; at once where it has only just failed.
    pub(super) async fn open(&self) -> Result<Placed, Failure> {
        let way = self.clone();
        // Whoever gives up waiting does not keep the others from learning what comes of it.
        let opened = Handle::current().spawn(async move {
            way.0.brake.check()?;
            let late = |_| Failure::new(Kind::Timeout, "no connection could be opened in time");
            let opened = timeout(OPEN_TIMEOUT, way.try_open()).await.map_err(late).flatten();
            match &opened {
                Ok(_) => way.0.brake.release(),
                Err(failure) => way.0.brake.pull(failure),
            }
            opened
        });
        opened.await.map_err(|error| Failure::new(Kind::Other, io::Error::from(error).to_string()))?
    }

    async fn try_open(&self) -> Result<Placed, Failure> {
        let broken = self.0.broken.load(Ordering::Relaxed);
        let place = self.place().await?;
        let opened = async {
            let mut connection = node::open(&self.client(&place.node)?).await?;
            self.examine(&mut connection).await?;
            Ok(connection)
        };
        match opened.await {
            Ok(connection) => Ok(Placed::new(connection, place, broken)),
            Err(failure) => {
                // Whatever it is: the next one asks who the master is.
                self.0.locator.doubt(&place);
                Err(failure)
            }
        }
    }

    async fn place(&self) -> Result<Place, Failure> {
        if let Some(place) = self.0.locator.trusted() {
            return Ok(place);
        }
        let locator = self.0.locator.clone();
        let found = self.0.runtime.spawn(async move { locator.place().await });
        found.await.map_err(|error| Failure::new(Kind::Other, io::Error::from(error).to_string()))?
    }

    /// Whether nothing is known against a connection.
    pub(super) fn is_usable(&self, placed: &Placed) -> bool {
        self.0.locator.is_present(&placed.place) && placed.broken == self.0.broken.load(Ordering::Relaxed)
    }

    /// Asks a connection that has been idle.
    pub(super) async fn still_answers(&self, placed: &Placed) -> bool {
        let examined = self.examine(&mut placed.connection.clone()).await;
        match &examined {
            Ok(()) => placed.has_answered(),
            Err(failure) => self.learn(placed, failure),
        }
        examined.is_ok()
    }

    /// What goes with each command, to show that whoever answers is the master.
    pub(super) fn question(&self) -> Question {
        if self.0.only_pings.load(Ordering::Relaxed) { Question::Ping } else { Question::Role }
    }

    /// Draws the conclusions of what went wrong on a connection.
    pub(super) fn learn(&self, placed: &Placed, failure: &Failure) {
        if matches!(failure.kind, Kind::Timeout | Kind::Connection | Kind::Refused) {
            // Once, however many were waiting for it: a newer connection is not spoiled by what they say.
            let (known, more) = (placed.broken, placed.broken + 1);
            let _ = self.0.broken.compare_exchange(known, more, Ordering::Relaxed, Ordering::Relaxed);
        }
        if failure.doubts_master() {
            self.0.locator.doubt(&placed.place);
        }
    }

    async fn examine(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
        let question = self.question();
        if node::examine(connection, question).await? == Question::Ping && question == Question::Role {
            self.0.only_pings.store(true, Ordering::Relaxed);
            tracing::warn!(
                "Redis does not allow ROLE: a replica in place of the master is noticed only when it refuses a change"
            );
        }
        Ok(())
    }

    /// The connection to where a slot is being moved, shared by all who are sent there.
    ///
    /// # Errors
    /// After a bounded wait.
    pub(super) async fn aside(&self, node: Node) -> Result<MultiplexedConnection, Failure> {
        let mut aside = self.0.aside.lock().await;
        if let Some((at, connection)) = &*aside
            && *at == node
        {
            return Ok(connection.clone());
        }
        let client = self.client(&node)?;
        let opened = self.0.runtime.spawn(async move { node::open(&client).await });
        let opened = opened.await.map_err(|error| Failure::new(Kind::Other, error.to_string()))??;
        *aside = Some((node, opened.clone()));
        Ok(opened)
    }

    /// The connection of [`Self::aside`] is not good any more.
    pub(super) async fn leave_aside(&self) {
        *self.0.aside.lock().await = None;
    }
}
