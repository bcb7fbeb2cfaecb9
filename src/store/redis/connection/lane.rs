//! Connections for commands: one for each runtime that asks, shared by everybody on it.
//!
//! A worker's commands share the worker's own connection, which the worker's own thread drives: what many requests ask at
//! once goes out with one write, comes back with one read, and wakes no other thread.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use tokio::{
    runtime::{self, Handle},
    time::timeout,
};

use super::{
    OPEN_TIMEOUT,
    failure::{Failure, Kind},
    locator::Place,
    way::Way,
};

/// A connection that has answered this recently is used as it is. One that has been idle for longer may be dead without
/// this side knowing: it is asked first, so that no change is sent into the void.
const FRESH: Duration = Duration::from_millis(100);

/// A connection, and to which master.
pub struct Placed {
    pub(super) connection: MultiplexedConnection,
    pub(super) place: Place,
    /// How often connections had broken when it was opened.
    pub(super) broken: u64,
    opened: Instant,
    /// When it last answered, in milliseconds after it was opened.
    answered: AtomicU64,
}

impl Placed {
    pub(super) fn new(connection: MultiplexedConnection, place: Place, broken: u64) -> Self {
        Self { connection, place, broken, opened: Instant::now(), answered: AtomicU64::new(0) }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// It has just answered.
    pub(super) fn has_answered(&self) {
        self.answered.store(self.age(), Ordering::Relaxed);
    }

    fn is_fresh(&self) -> bool {
        u128::from(self.age().saturating_sub(self.answered.load(Ordering::Relaxed))) <= FRESH.as_millis()
    }
}

/// All of an instance's connections for commands.
#[derive(Default)]
pub(super) struct Lanes(RwLock<HashMap<runtime::Id, Arc<Lane>>>);

impl Lanes {
    /// The one of the runtime that this is called on. It ends with that runtime.
    pub(super) fn here(&self) -> Arc<Lane> {
        let id = Handle::current().id();
        let lanes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&id) {
            return lane.clone();
        }
        drop(lanes);
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }
}

/// The connection of one runtime.
#[derive(Default)]
pub(super) struct Lane {
    held: Mutex<Option<Arc<Placed>>>,
    /// One opens it, the others wait for it.
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    fn held(&self) -> std::sync::MutexGuard<'_, Option<Arc<Placed>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is good as far as can be told.
    ///
    /// # Errors
    /// After a bounded wait.
    pub(super) async fn connection(&self, way: &Way) -> Result<Arc<Placed>, Failure> {
        let held = self.held().clone().filter(|placed| way.is_usable(placed));
        if let Some(placed) = held
            && (placed.is_fresh() || way.still_answers(&placed).await)
        {
            return Ok(placed);
        }
        let late = |_| Failure::new(Kind::Timeout, "no connection could be opened in time");
        let _one = timeout(OPEN_TIMEOUT, self.opening.lock()).await.map_err(late)?;
        let opened_meanwhile =
            self.held().clone().filter(|placed| placed.is_fresh() && way.is_usable(placed));
        if let Some(placed) = opened_meanwhile {
            return Ok(placed);
        }
        let placed = Arc::new(way.open().await?);
        *self.held() = Some(placed.clone());
        Ok(placed)
    }

    /// This one is not to be used any more.
    pub(super) fn leave(&self, spoiled: &Arc<Placed>) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, spoiled)) {
            *held = None;
        }
    }
}
