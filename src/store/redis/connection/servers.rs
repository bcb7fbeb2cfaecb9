//! The connections to all masters of one deployment. Partitions on one master share them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::runtime::Handle;

use super::{
    address::ConnectOptions, bulk_pool::BulkPool, connection_factory::ConnectionFactory, failure::Failure,
    locator::MasterLocator, node::Node, runtime_connection::RuntimeConnections, subscriptions::Subscriptions,
};

/// All connections to one server, opened on first use.
pub(super) struct Server {
    pub(super) factory: ConnectionFactory,
    pub(super) connections: RuntimeConnections,
    pub(super) bulk_pool: BulkPool,
    pub(super) subscriptions: Subscriptions,
}

/// The servers that are masters, by address.
pub(super) struct Servers {
    options: Arc<ConnectOptions>,
    locator: Arc<MasterLocator>,
    /// Drives everything that runtimes share. HTTP workers have runtimes of their own, which end before the process.
    runtime: Handle,
    servers: RwLock<HashMap<Node, Arc<Server>>>,
}

impl Servers {
    /// Prepares connections; opens none. Shared work runs on the runtime that calls this.
    pub(super) fn new(options: ConnectOptions, locator: Arc<MasterLocator>) -> Self {
        let (options, servers) = (Arc::new(options), RwLock::default());
        Self { options, locator, runtime: Handle::current(), servers }
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The connections to a server. A new server replaces those that are no longer masters.
    ///
    /// # Errors
    /// As [`BulkPool::new`].
    pub(super) fn get(&self, node: &Node) -> Result<Arc<Server>, Failure> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(node) {
            return Ok(server.clone());
        }
        drop(servers);
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(made_meanwhile) = servers.get(node) {
            return Ok(made_meanwhile.clone());
        }
        servers.retain(|node, _| self.locator.is_any_master(node));
        let server = Arc::new(self.server(node)?);
        servers.insert(node.clone(), server.clone());
        Ok(server)
    }

    fn server(&self, node: &Node) -> Result<Server, Failure> {
        let (options, locator) = (self.options.clone(), self.locator.clone());
        let factory = ConnectionFactory::new(node.clone(), options, locator, self.runtime.clone());
        let (bulk_pool, subscriptions) =
            (BulkPool::new(factory.clone())?, Subscriptions::new(factory.clone()));
        Ok(Server { factory, connections: RuntimeConnections::default(), bulk_pool, subscriptions })
    }
}
