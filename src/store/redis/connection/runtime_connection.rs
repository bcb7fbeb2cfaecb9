//! Connections for commands: one for each Tokio runtime, shared by all calls on it.
//!
//! Each HTTP worker has a runtime, whose thread drives the worker's connection. Concurrent commands of a worker share
//! one write and one read and wake no other thread.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::{
    runtime::{self, Handle},
    time::timeout,
};

use super::{
    connection_factory::{ConnectionFactory, OPEN_TIMEOUT},
    failure::{Failure, FailureKind},
    master_connection::MasterConnection,
};

/// All connections for commands of an instance.
#[derive(Default)]
pub(super) struct RuntimeConnections(RwLock<HashMap<runtime::Id, Arc<RuntimeConnection>>>);

impl RuntimeConnections {
    /// The connection of the calling runtime. Panics outside of a runtime.
    pub(super) fn of_current_runtime(&self) -> Arc<RuntimeConnection> {
        let id = Handle::current().id();
        let connections = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = connections.get(&id) {
            return connection.clone();
        }
        drop(connections);
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }
}

/// The connection of one runtime, opened on first use and replaced after failures.
#[derive(Default)]
pub(super) struct RuntimeConnection {
    open: Mutex<Option<Arc<MasterConnection>>>,
    /// Held by the caller that opens a connection; the other callers wait for its outcome.
    opening: tokio::sync::Mutex<()>,
}

impl RuntimeConnection {
    fn slot(&self) -> MutexGuard<'_, Option<Arc<MasterConnection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self, factory: &ConnectionFactory) -> Option<Arc<MasterConnection>> {
        self.slot().clone().filter(|connection| factory.is_usable(connection))
    }

    /// The open connection if it is usable, probed if it was idle; otherwise a new one. Cancellation safe.
    ///
    /// # Errors
    /// As [`ConnectionFactory::open`], and [`FailureKind::Timeout`] after 4 s behind another caller that opens one.
    pub(super) async fn get(&self, factory: &ConnectionFactory) -> Result<Arc<MasterConnection>, Failure> {
        if let Some(connection) = self.usable(factory)
            && (connection.is_fresh() || factory.passes_probe(&connection).await)
        {
            return Ok(connection);
        }
        let late = |_| Failure::new(FailureKind::Timeout, "no connection could be opened in time");
        let _opening = timeout(OPEN_TIMEOUT, self.opening.lock()).await.map_err(late)?;
        if let Some(opened_meanwhile) = self.usable(factory).filter(|connection| connection.is_fresh()) {
            return Ok(opened_meanwhile);
        }
        let connection = Arc::new(factory.open().await?);
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    /// Drops a connection after a failure; ignored where another has replaced it already.
    pub(super) fn discard(&self, failed: &Arc<MasterConnection>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *slot = None;
        }
    }
}
