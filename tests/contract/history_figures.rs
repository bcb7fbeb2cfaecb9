//! Property: the peak, the numbers of persons and their watch times in the history are those of a model.
//!
//! Participants come and go at random, and some of their webhooks are lost, so that reconciliations end visits. The
//! archiver is restarted and killed meanwhile, and the log loses events that it has not stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;
mod model;

use std::time::Duration;

use futures_util::future::join_all;
use livestream_orchestrator::domain::{AudienceMode, ParticipantKind, Role};
use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use self::fixture::Fixture;
use super::history_databases::Database;

const IDENTITIES: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
/// Number of histories in one run.
const HISTORIES: usize = 12;

/// What participants, LiveKit and time do.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Connects, and replaces an existing session. The webhooks whose bits are set are lost.
    Connect(&'static str, Role, ParticipantKind, u8),
    Disconnect(&'static str, u8),
    Reconcile,
    Wait(Duration),
}

#[derive(Clone, Debug)]
pub enum Step {
    Action(Action),
    /// Another instance archives.
    Restart,
    /// Another instance archives, after the lease of this one has expired.
    Kill,
    /// The log loses the events of these actions before they are stored.
    Lose(Vec<Action>),
}

fn action() -> impl Strategy<Value = Action> {
    let who = || select(&IDENTITIES[..]);
    let lost = || prop_oneof![3 => Just(0u8), 1 => 0..4u8];
    let role = select(vec![Role::Viewer, Role::Viewer, Role::Host]);
    let kind = prop_oneof![6 => Just(ParticipantKind::Standard), 1 => Just(ParticipantKind::Agent)];
    let connect = (who(), role, kind, lost());
    let wait = select(vec![1u64, 300, 2_000, 8_000, 20_000]);
    prop_oneof![
        6 => connect.prop_map(|(who, role, kind, lost)| Action::Connect(who, role, kind, lost)),
        4 => (who(), lost()).prop_map(|(who, lost)| Action::Disconnect(who, lost)),
        1 => Just(Action::Reconcile),
        2 => wait.prop_map(|millis| Action::Wait(Duration::from_millis(millis))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => action().prop_map(Step::Action),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        1 => prop::collection::vec(action(), 0..6).prop_map(Step::Lose),
    ]
}

/// A random history: the kind of audience, the steps, and whether the end of the room is lost.
type History = (AudienceMode, Vec<Step>, bool);

fn history() -> impl Strategy<Value = History> {
    let audience = select(vec![AudienceMode::Listed, AudienceMode::Counted]);
    (audience, prop::collection::vec(step(), 1..80), any::<bool>())
}

async fn run((audience, steps, is_lost): History, database: Database) {
    let mut fixture = Fixture::start(audience, database).await;
    fixture.await_archived().await;
    for step in steps {
        fixture.step(step).await;
    }
    fixture.stop(is_lost).await;
    fixture.await_archived().await;
    fixture.stop_archiver().await;
    fixture.assert_figures().await;
}

/// Runs random histories at the same time, because an archiver waits most of its time. Prints those that fail.
async fn run_all(databases: Vec<Database>) {
    let mut runner = TestRunner::new(Config::default());
    let histories = databases.into_iter().map(|database| {
        let random = history().new_tree(&mut runner).unwrap().current();
        async move {
            let shown = format!("{random:?}");
            let ended = tokio::spawn(run(random, database)).await;
            ended.err().map(|error| format!("{error}: {shown}"))
        }
    });
    let failed: Vec<_> = join_all(histories).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn figures_in_sqlite_are_those_of_the_model() {
    let databases = (0..HISTORIES).map(|_| Database::sqlite().migrated());
    run_all(join_all(databases).await).await;
}

#[tokio::test]
async fn figures_in_postgres_are_those_of_the_model() {
    let databases = (0..HISTORIES).map(|_| async { Database::postgres().await.migrated().await });
    run_all(join_all(databases).await).await;
}
