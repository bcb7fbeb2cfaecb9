use proptest::prelude::*;

use super::*;

/// A partition with a clock of its own.
struct Source {
    number: u64,
    clock: u64,
    /// Every event that it has, with the cursor of the event before.
    log: Vec<(Cursor, Cursor)>,
    /// Number of the published events that have arrived or are lost.
    arrived: usize,
}

impl Source {
    fn tail(&self) -> Cursor {
        self.log.last().map_or(Cursor::ORIGIN, |(cursor, _)| *cursor)
    }

    /// Adds an event, as `next_cursor` in `lua/changes/shared/events.lua`.
    fn change(&mut self, sources: u64, random: u64) {
        let tail = self.tail();
        let cursor = if self.clock > tail.millis() {
            Cursor::new(self.clock, random * sources + self.number)
        } else {
            Cursor::new(tail.millis(), tail.number() + (1 + random) * sources)
        };
        self.log.push((cursor, tail));
    }

    fn read(&mut self, floor: u64) -> ClockReading {
        self.clock = self.clock.max(floor);
        ClockReading {
            millis: self.clock,
            tail: self.tail(),
            before_floor: Cursor::ORIGIN,
            lost_until: Cursor::ORIGIN,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The clock of a partition advances, and an event is added.
    Change { source: usize, millis: u64, random: u64 },
    /// The next published event of a partition arrives, or is lost.
    Arrive { source: usize, lost: bool },
    /// The clocks are read.
    Read,
}

fn step(loses: bool) -> impl Strategy<Value = Step> {
    let lost = if loses { prop::bool::weighted(0.2).boxed() } else { Just(false).boxed() };
    prop_oneof![
        3 => (0..4_usize, 0..3_u64, 0..5_u64)
            .prop_map(|(source, millis, random)| Step::Change { source, millis, random }),
        3 => (0..4_usize, lost).prop_map(|(source, lost)| Step::Arrive { source, lost }),
        1 => Just(Step::Read),
    ]
}

/// Partitions whose clocks differ, and the merge of their events.
struct World {
    sources: Vec<Source>,
    merge: Merge<Cursor>,
    now: Instant,
    /// Events that were passed on, with their predecessors.
    passed: Vec<(Cursor, Cursor)>,
    gaps: usize,
}

impl World {
    fn new(skew: u64) -> Self {
        let source = |number| Source { number, clock: 1_000 + number * skew, log: Vec::new(), arrived: 0 };
        let merge = Merge::begin(std::iter::repeat_n(Cursor::ORIGIN, 4));
        Self {
            sources: (0..4).map(source).collect(),
            merge,
            now: Instant::now(),
            passed: Vec::new(),
            gaps: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Change { source, millis, random } => {
                self.sources[source].clock += millis;
                self.sources[source].change(4, random);
            }
            Step::Arrive { source, lost } => self.arrive(source, lost),
            Step::Read => self.read(),
        }
        self.gaps += usize::from(self.merge.take_gap());
        while let Some((event, previous)) = self.merge.next() {
            self.passed.push((event, previous));
        }
    }

    fn arrive(&mut self, source: usize, lost: bool) {
        let of = &mut self.sources[source];
        let Some((cursor, previous)) = of.log.get(of.arrived).copied() else { return };
        of.arrived += 1;
        if !lost {
            self.merge.on_event(source, cursor, cursor, previous);
        }
    }

    fn read(&mut self) {
        let floor = self.merge.floor().unwrap_or_default();
        let readings: Vec<_> = self.sources.iter_mut().map(|source| source.read(floor)).collect();
        self.merge.on_readings(&readings, self.now);
    }

    /// Delivers what has been published, and reads the clocks.
    fn finish(&mut self) {
        for source in 0..4 {
            while self.sources[source].arrived < self.sources[source].log.len() {
                self.take(&Step::Arrive { source, lost: false });
            }
        }
        self.take(&Step::Read);
        self.now += LOST_AFTER * 2;
        self.take(&Step::Read);
    }

    fn recorded(&self) -> Vec<Cursor> {
        let mut all: Vec<_> = self.sources.iter().flat_map(|source| &source.log).map(|(c, _)| *c).collect();
        all.sort_unstable();
        all
    }
}

proptest! {
    #[test]
    fn events_are_passed_on_once_in_the_order_of_all(
        steps in prop::collection::vec(step(false), 0..200), skew in 0_u64..50,
    ) {
        let mut world = World::new(skew);
        steps.iter().for_each(|step| world.take(step));
        world.finish();
        let all = world.recorded();
        let passed: Vec<_> = world.passed.iter().map(|(cursor, _)| *cursor).collect();
        prop_assert_eq!(&passed, &all);
        let previous: Vec<_> = world.passed.iter().map(|(_, previous)| *previous).collect();
        let before = std::iter::once(Cursor::ORIGIN).chain(all.iter().copied()).take(all.len());
        prop_assert_eq!(previous, before.collect::<Vec<_>>());
        prop_assert_eq!(world.gaps, 0);
    }

    #[test]
    fn event_after_a_lost_one_names_no_predecessor(
        steps in prop::collection::vec(step(true), 0..200), skew in 0_u64..50,
    ) {
        let mut world = World::new(skew);
        steps.iter().for_each(|step| world.take(step));
        world.finish();
        let all = world.recorded();
        prop_assert!(world.passed.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let complete = world.passed.len() == all.len();
        prop_assert!(complete || world.gaps > 0, "a loss is reported");
        for (cursor, previous) in &world.passed {
            let at = all.binary_search(cursor).unwrap();
            let expected = at.checked_sub(1).map_or(Cursor::ORIGIN, |before| all[before]);
            prop_assert!(*previous == expected || *previous == Cursor::GREATEST, "{cursor} after {previous}");
        }
    }
}

#[test]
fn events_beyond_the_bound_are_a_gap() {
    let max = MAX_WAITING as u64;
    let cursor = |millis| Cursor::new(millis, 0);
    let mut merge = Merge::begin(std::iter::repeat_n(Cursor::ORIGIN, 2));
    let publish = |merge: &mut Merge<u64>, millis| {
        merge.on_event(0, millis, cursor(millis), cursor(millis - 1));
    };
    let origin = Cursor::ORIGIN;
    let reading = ClockReading { millis: 2 * max, tail: origin, before_floor: origin, lost_until: origin };
    let read = |merge: &mut Merge<u64>| merge.on_readings(&[reading, reading], Instant::now());
    (1..=max).for_each(|millis| publish(&mut merge, millis));
    assert!(!merge.take_gap());
    publish(&mut merge, max + 1);
    assert!(merge.take_gap());
    read(&mut merge);
    let passed = std::iter::from_fn(|| merge.next()).map(|(_, previous)| previous);
    assert_eq!(passed.filter(|previous| *previous == Cursor::GREATEST).count(), MAX_WAITING);
    publish(&mut merge, max + 2);
    read(&mut merge);
    assert_eq!(merge.next(), Some((max + 2, cursor(max + 1))), "after the event that does not wait");
}
