use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::domain::{
    Event, EventKind, InitialAudience, Metadata, RoomName, Stream, event::Draft, stream::NewStream,
};

const NONE: ResetAttempts =
    ResetAttempts { waiting: Waiting { attempts: 0, due: Timestamp::from_millis(0) }, cursor: None };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A partition's logs, and an endpoint that follows them.
struct Model {
    streams: Vec<StreamId>,
    log: Vec<Arc<Event>>,
    filter: EndpointFilter,
    backlog: Backlog,
    now: Timestamp,
    /// Every attempt that succeeded.
    delivered: Vec<Arc<Event>>,
    in_flight: Vec<Arc<Event>>,
    /// Reads of streams' own logs in progress, with the pages that they will return.
    reading: Vec<(StreamRead, Vec<QueuedEvent>, bool)>,
}

impl Model {
    fn new(filter: EndpointFilter, streams: Vec<StreamId>) -> Self {
        let backlog = Backlog::new(filter.clone(), Cursor::ORIGIN, BTreeMap::new(), NONE);
        let (log, delivered, in_flight, reading) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { streams, log, filter, backlog, now: at(1), delivered, in_flight, reading }
    }

    fn append(&mut self, stream: usize) {
        let id = self.streams[stream % self.streams.len()];
        let previous = |event: Option<&Arc<Event>>| event.map_or(Cursor::ORIGIN, |event| event.cursor);
        let of_stream: Vec<_> = self.log.iter().filter(|event| event.stream_id() == id).collect();
        let new = NewStream {
            id,
            room_name: RoomName::from(id),
            metadata: Metadata::default(),
            max_participants: None,
            idle_after: None,
            audience: InitialAudience::LISTED,
            backstage: false,
        };
        let version = of_stream.len() as u64 + 1;
        let stream = Stream { version, ..Stream::unrecorded(new, self.now) };
        let kind = EventKind::ALL[of_stream.len() % 3];
        self.log.push(Arc::new(Event {
            cursor: Cursor::new(self.log.len() as u64 + 1, 0),
            previous: previous(of_stream.last().copied()),
            previous_of_all: previous(self.log.last()),
            timestamp: self.now,
            draft: Draft::new(kind, &stream, None),
        }));
    }

    fn read(&mut self, count: usize) {
        if self.backlog.has_room() {
            let after = self.backlog.read_position();
            let page = self.log.iter().filter(|event| event.cursor > after).take(count).cloned();
            self.backlog.add(&page.map(QueuedEvent::from).collect::<Vec<_>>());
        }
    }

    /// Begins one step. Deliveries stay in progress until [`Self::answer`], and reads until [`Self::end_read`].
    fn step(&mut self, is_behind: bool) -> bool {
        let step = if is_behind { self.backlog.next_behind(self.now) } else { self.backlog.next(self.now) };
        match step {
            Some(Step::Deliver(QueuedEvent::Logged(event))) => self.in_flight.push(event),
            Some(Step::Deliver(QueuedEvent::Past(_))) => panic!("there is no history"),
            Some(Step::Read(read)) => {
                let is_next = |event: &&Arc<Event>| event.stream_id() == read.id && event.cursor > read.after;
                let rest: Vec<_> = self.log.iter().filter(is_next).cloned().map(QueuedEvent::from).collect();
                let page = rest[..rest.len().min(2)].to_vec();
                self.reading.push((read, page, rest.len() <= 2));
            }
            Some(Step::Reset(..)) => panic!("nothing was lost"),
            None => return false,
        }
        true
    }

    fn end_read(&mut self, index: usize) {
        if !self.reading.is_empty() {
            let (read, page, is_complete) = self.reading.remove(index % self.reading.len());
            self.backlog.fill(read, &page, is_complete);
        }
    }

    /// Loses what was not read of the log of all streams. The streams' own logs keep everything.
    fn lose(&mut self) {
        if self.filter.stream_id.is_some() && self.backlog.has_room() {
            let tail = self.log.last().map_or(Cursor::ORIGIN, |event| event.cursor);
            self.backlog.lose(ResetReason::Expired, tail, self.now);
        }
    }

    fn answer(&mut self, index: usize, is_success: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        let event = self.in_flight.remove(index % self.in_flight.len());
        if is_success {
            self.delivered.push(event.clone());
            self.backlog.delivered(&event.into());
        } else {
            self.backlog.failed(&event.into(), self.now.plus(Duration::from_secs(5)));
        }
    }

    /// Continues from the position that is saved, as another instance does.
    fn restart(&mut self) {
        let (read, behind) = (self.backlog.position(), self.backlog.behind().collect());
        self.backlog = Backlog::new(self.filter.clone(), read, behind, self.backlog.reset_attempts());
        self.in_flight.clear();
        self.reading.clear();
    }

    fn apply(&mut self, (action, value): (u8, usize)) {
        match action {
            0..=2 => self.append(value),
            3 => self.read(value % 4 + 1),
            4 | 5 => drop(self.step(value % 2 == 0)),
            6 => self.answer(value, true),
            7 => self.answer(value, false),
            8 => self.now = self.now.plus(Duration::from_millis(value as u64 * 100)),
            9 => self.backlog.set_slow_behind(self.now),
            10 | 11 => self.end_read(value),
            12 => self.lose(),
            _ => self.restart(),
        }
    }

    fn finish(&mut self) {
        for _ in 0..10 * (self.log.len() + 10) {
            self.now = self.now.plus(Duration::from_secs(6));
            self.read(100);
            while self.step(false) || self.step(true) {}
            while !self.in_flight.is_empty() || !self.reading.is_empty() {
                self.answer(0, true);
                self.end_read(0);
            }
        }
    }
}

proptest! {
    /// However deliveries fail, hang and are interrupted: every event arrives, first deliveries of a stream in order.
    #[test]
    fn every_event_is_delivered_and_first_deliveries_of_a_stream_are_in_order(
        actions in prop::collection::vec((0u8..14, 0usize..50), 0..300),
        has_filter in any::<bool>(),
        has_stream in any::<bool>(),
    ) {
        let events = has_filter.then(|| vec![EventKind::ALL[0], EventKind::ALL[2]]);
        let streams: Vec<_> = (0..3).map(|_| StreamId::generate()).collect();
        let filter = EndpointFilter { events, stream_id: has_stream.then_some(streams[0]) };
        let mut model = Model::new(filter.clone(), streams);
        for action in actions {
            model.apply(action);
        }
        model.finish();
        for id in &model.streams {
            let own = |events: &[Arc<Event>]| -> Vec<u64> {
                let own = events.iter().filter(|event| event.stream_id() == *id);
                let own = own.filter(|event| filter.matches(event.stream_id(), event.draft.kind));
                own.map(|event| event.seq()).collect()
            };
            let mut seen = BTreeSet::new();
            let first: Vec<_> = own(&model.delivered).into_iter().filter(|seq| seen.insert(*seq)).collect();
            prop_assert_eq!(first, own(&model.log));
        }
        prop_assert_eq!(model.backlog.undelivered(), 0);
        prop_assert_eq!(model.backlog.oldest(), None);
        prop_assert_eq!(model.backlog.behind().count(), 0);
        let end = model.log.last().map_or(Cursor::ORIGIN, |event| event.cursor);
        prop_assert_eq!(model.backlog.position(), end);
        prop_assert_eq!(model.backlog.queues.len(), 0, "finished queues are forgotten");
    }
}

#[test]
fn failed_stream_waits_and_others_continue() {
    let mut model = Model::new(EndpointFilter::default(), vec![StreamId::generate(), StreamId::generate()]);
    [0, 1, 0, 1].into_iter().for_each(|stream| model.append(stream));
    model.read(4);
    assert!(
        model.step(false) && model.step(false) && !model.step(false),
        "one delivery of each stream at a time"
    );
    model.answer(0, false);
    model.answer(0, true);
    assert!(!model.step(true), "the first stream waits");
    assert!(model.step(false));
    model.answer(0, true);
    assert_eq!(model.delivered.iter().map(|event| event.cursor.millis()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(model.backlog.position(), Cursor::new(4, 0));
    let (_, behind) = model.backlog.behind().next().unwrap();
    assert_eq!((behind.after, behind.waiting.attempts, behind.undelivered), (Cursor::ORIGIN, 1, 2));
    assert_eq!((model.backlog.undelivered(), model.backlog.is_failing()), (2, true));
}

#[test]
fn reset_precedes_everything_else_and_is_repeated_with_its_cursor_until_it_is_delivered() {
    let new =
        |attempts| Backlog::new(EndpointFilter::default(), Cursor::new(1, 0), BTreeMap::new(), attempts);
    let mut backlog = new(NONE);
    backlog.lose(ResetReason::Expired, Cursor::new(9, 0), at(1));
    assert!(!backlog.has_room());
    assert!(backlog.next(at(1)).is_none(), "its cursor is not saved");
    backlog.has_saved();
    assert!(matches!(backlog.next(at(1)), Some(Step::Reset(ResetReason::Expired, _))));
    assert!(backlog.next(at(1)).is_none(), "one attempt at a time");
    backlog.reset_failed(at(5));
    assert!(backlog.next(at(4)).is_none());
    let ResetAttempts { waiting, cursor } = backlog.reset_attempts();
    assert_eq!(
        (backlog.position(), waiting.attempts, cursor),
        (Cursor::new(1, 0), 1, Some(Cursor::new(9, 0)))
    );
    // Another instance, after later events.
    let mut backlog = new(backlog.reset_attempts());
    backlog.lose(ResetReason::Expired, Cursor::new(20, 0), at(5));
    let Some(Step::Reset(_, cursor)) = backlog.next(at(5)) else { panic!("a reset") };
    assert_eq!(cursor, Cursor::new(9, 0));
    backlog.reset_delivered(cursor);
    assert!(backlog.has_room() && !backlog.is_failing());
    assert_eq!((backlog.position(), backlog.reset_attempts()), (cursor, NONE));
}

#[test]
fn reset_of_a_stream_keeps_its_cursor_and_later_events_of_the_stream_follow() {
    let mut model = Model::new(EndpointFilter::default(), vec![StreamId::generate()]);
    (0..3).for_each(|_| model.append(0));
    model.read(1);
    assert!(model.step(false));
    model.answer(0, false);
    model.read(2);
    model.now = at(10_000);
    let Some(Step::Read(read)) = model.backlog.next_behind(model.now) else { panic!("a read") };
    model.backlog.lose_stream(read, Cursor::new(3, 0));
    assert!(model.backlog.next_behind(model.now).is_none(), "its cursor is not saved");
    model.backlog.has_saved();
    model.append(0);
    model.read(1);
    model.restart();
    let Some(Step::Read(read)) = model.backlog.next_behind(model.now) else { panic!("a read") };
    assert_eq!(read.reset, Some(Cursor::new(3, 0)));
    model.backlog.skip_to(read.id, Cursor::new(3, 0));
    model.finish();
    assert_eq!(model.delivered.iter().map(|event| event.cursor.millis()).collect::<Vec<_>>(), [4]);
}

#[test]
fn endpoint_of_one_stream_continues_from_its_own_log_after_a_loss() {
    let id = StreamId::generate();
    let filter = EndpointFilter { events: None, stream_id: Some(id) };
    let mut backlog = Backlog::new(filter, Cursor::new(1, 0), BTreeMap::new(), NONE);
    backlog.lose(ResetReason::Expired, Cursor::new(9, 0), at(1));
    let Some(Step::Read(read)) = backlog.next_behind(at(1)) else { panic!("a read") };
    assert_eq!((read.id, read.after), (id, Cursor::new(1, 0)));
    backlog.fill(read, &[], true);
    assert_eq!((backlog.position(), backlog.behind().count()), (Cursor::new(9, 0), 0));
}

#[test]
fn stream_that_lost_its_newest_events_continues_behind_its_old_position() {
    let mut model = Model::new(EndpointFilter::default(), vec![StreamId::generate()]);
    (0..4).for_each(|_| model.append(0));
    model.read(4);
    assert!(model.step(false));
    model.answer(0, false);
    model.now = at(10_000);
    let Some(Step::Read(read)) = model.backlog.next_behind(model.now) else { panic!("a read") };
    // The log ends with the second event now, and the third is issued again.
    model.backlog.lose_stream(read, Cursor::new(2, 0));
    model.backlog.skip_to(read.id, Cursor::new(2, 0));
    assert_eq!(model.backlog.behind().count(), 0);
    model.backlog.read = Cursor::new(2, 0);
    model.read(1);
    assert!(model.step(false));
    assert_eq!(model.in_flight[0].cursor, Cursor::new(3, 0));
}
