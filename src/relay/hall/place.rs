//! A client's place in a hall, and what is given to everybody there.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use bytes::Bytes;

use crate::{
    domain::Cursor,
    relay::{frame::EventFrame, seat::Delivery},
    store::Topic,
};

/// The way to a client that can be given bytes at any moment.
pub trait Outlet {
    /// Takes events as chunks of HTTP/1.1, without waiting; all of them or none.
    fn give(&self, chunks: &Bytes) -> Given;
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// They have gone out.
    All,
    /// They are taken, but some wait for the client to be woken.
    Part,
    /// They are not taken.
    Nothing,
}

/// A client's place in a hall.
pub(super) struct Place {
    /// The number of the message that it takes next.
    pub(super) next: Cell<u64>,
    /// The newest event that it has had, from here or from the log.
    pub(super) last: Cell<Cursor>,
    /// Whether it waits for the next message, and for nothing else.
    pub(super) waits: Cell<bool>,
    /// The newest event that it was given directly, until it looks.
    pub(super) given: Cell<Option<Cursor>>,
    /// Where it is among the places of the hall.
    pub(super) number: Cell<usize>,
    /// What it was to take is not kept any more.
    pub(super) is_lost: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
    pub(super) outlet: RefCell<Option<Rc<dyn Outlet>>>,
}

impl Place {
    /// A place with this number for a client that takes this message next, and has had everything up to `last`.
    pub(super) fn new(number: usize, next: u64, last: Cursor) -> Self {
        Self {
            next: Cell::new(next),
            last: Cell::new(last),
            waits: Cell::default(),
            given: Cell::default(),
            number: Cell::new(number),
            is_lost: Cell::default(),
            waker: RefCell::default(),
            outlet: RefCell::default(),
        }
    }

    /// Has its client come for what there is.
    pub(super) fn wake(&self) {
        self.waits.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives it the lot, if that is the next it waits for; says whether it has it.
    pub(super) fn give(&self, lot: &Lot) -> bool {
        let Some(chunks) = &lot.chunks else { return false };
        if !self.waits.get() || self.next.get() != lot.number || self.last.get() >= lot.first {
            return false;
        }
        let given = self.outlet.borrow().as_ref().map_or(Given::Nothing, |outlet| outlet.give(chunks));
        if given == Given::Nothing {
            return false;
        }
        self.next.set(lot.number + lot.count);
        self.last.set(lot.last);
        self.given.set(Some(lot.last));
        if given == Given::Part {
            self.wake();
        }
        true
    }
}

/// What has just come.
pub(super) struct Lot {
    pub(super) number: u64,
    pub(super) count: u64,
    /// Of the events alone.
    pub(super) bytes: u64,
    pub(super) first: Cursor,
    pub(super) last: Cursor,
    /// None where something in it is more than bytes: a reset, or the last event of all.
    pub(super) chunks: Option<Bytes>,
}

impl Lot {
    pub(super) fn of(number: u64, topic: Topic, deliveries: &[Delivery]) -> Self {
        let frames: Option<Vec<&EventFrame>> =
            deliveries.iter().map(|delivery| plain(topic, delivery)).collect();
        let frames = frames.unwrap_or_default();
        let chunks = match &frames[..] {
            [] => None,
            [frame] => Some(frame.chunk().clone()),
            many => {
                let chunks: Vec<_> = many.iter().map(|frame| &frame.chunk()[..]).collect();
                Some(chunks.concat().into())
            }
        };
        let cursor = |frame: Option<&&EventFrame>| frame.map_or(Cursor::ORIGIN, |frame| frame.event().cursor);
        let (first, last) = (cursor(frames.first()), cursor(frames.last()));
        let bytes = frames.iter().map(|frame| frame.sse().len() as u64).sum();
        Self { number, count: deliveries.len() as u64, bytes, first, last, chunks }
    }
}

/// An event that is followed by others.
fn plain(topic: Topic, delivery: &Delivery) -> Option<&EventFrame> {
    match delivery {
        Delivery::Event(frame) if topic == Topic::All || !frame.event().is_last() => Some(frame),
        _ => None,
    }
}
