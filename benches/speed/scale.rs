//! Sizes of the measurements.

use std::time::Duration;

/// Rounds of a read, each with and without the log.
pub const LOG_ROUNDS: usize = 9;

/// A number of events for a number of clients.
#[derive(Clone, Copy)]
pub struct Load {
    /// Clients that receive every event.
    pub clients: usize,
    /// Events a second.
    pub rate: u64,
    pub seconds: u64,
}

impl Load {
    /// Microseconds between two events.
    pub const fn period(self) -> u64 {
        1_000_000 / self.rate
    }

    pub const fn events(self) -> u64 {
        self.rate * self.seconds
    }

    /// Messages that all clients together receive.
    pub fn deliveries(self) -> usize {
        self.clients * usize::try_from(self.events()).expect("a count")
    }
}

/// Size of an audience.
#[derive(Clone, Copy)]
pub struct Size {
    pub viewers: usize,
    /// Viewers who follow the stream.
    pub followers: usize,
    /// Arrivals and departures a second.
    pub rate: u64,
    pub seconds: u64,
    /// Visits of which the cost is measured.
    pub visits: usize,
}

/// Sizes of all measurements.
pub struct Scale {
    /// Clients, events and time of the fan-out.
    pub load: Load,
    /// Events a second of a second fan-out, at which no server falls behind.
    pub low_rate: u64,
    /// Rounds of the fan-out on each server.
    pub rounds: usize,
    /// Clients of the memory measurement, which receive no event.
    pub idle: usize,
    /// Streams in the list of which a page of 100 is read.
    pub streams: usize,
    /// Time for which each kind of request is sent.
    pub requests: Duration,
    /// The audience that is measured counted and listed.
    pub audience: Size,
    /// The audience that is measured counted only. Has as many of its followers as the limit of open files allows.
    pub large_audience: Size,
}

const AUDIENCE: Size = Size { viewers: 20_000, followers: 2_000, rate: 1_000, seconds: 15, visits: 5_000 };
const QUICK_AUDIENCE: Size = Size { viewers: 2_000, followers: 200, rate: 100, seconds: 5, visits: 1_000 };

impl Scale {
    pub const FULL: Self = Self {
        load: Load { clients: 2_000, rate: 50, seconds: 6 },
        low_rate: 10,
        rounds: 3,
        idle: 50_000,
        streams: 100_000,
        requests: Duration::from_secs(5),
        audience: AUDIENCE,
        large_audience: Size { viewers: 100_000, followers: 50_000, ..AUDIENCE },
    };
    pub const QUICK: Self = Self {
        load: Load { clients: 2_000, rate: 50, seconds: 4 },
        low_rate: 10,
        rounds: 2,
        idle: 10_000,
        streams: 2_000,
        requests: Duration::from_secs(2),
        audience: QUICK_AUDIENCE,
        large_audience: Size { viewers: 5_000, followers: 1_000, ..QUICK_AUDIENCE },
    };

    /// Sets one size from a command line option.
    pub fn set(&mut self, option: &str, value: u64) {
        let count = usize::try_from(value).expect("a count");
        match option {
            "--clients" => self.load.clients = count,
            "--rate" => self.load.rate = value,
            "--low-rate" => self.low_rate = value,
            "--seconds" => self.load.seconds = value,
            "--rounds" => self.rounds = count,
            "--idle" => self.idle = count,
            "--requests" => self.requests = Duration::from_secs(value),
            "--streams" => self.streams = count,
            _ => panic!("unknown option {option}"),
        }
    }
}
