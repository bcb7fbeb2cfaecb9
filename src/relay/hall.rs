//! Clients of one topic that are served by one thread: they have one seat at the hub together.
//!
//! An event crosses threads once for all of them. The hall keeps what somebody has yet to take, once for all, and gives
//! whoever has taken everything before the next bytes at once, without waking a task for it. Who cannot take them, or
//! has something else to do first, is woken and takes them from the hall when ready.

mod keep;
mod place;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::{Rc, Weak},
    sync::{Arc, OnceLock, atomic::Ordering},
    task::Poll,
};

use tokio::{
    sync::{OnceCell, mpsc},
    task::{spawn_local, yield_now},
};

pub use self::place::{Given, Outlet};
use self::{
    keep::{Keep, Taken},
    place::{Lot, Place},
};
use super::{
    Relay,
    queue::Queue,
    seat::{Client, Delivery, Ended, QUEUE_MESSAGES, Seat, Transport, next_seat, size},
};
use crate::{
    domain::Cursor,
    store::{StoreError, Topic},
};

/// The most messages that are handed over at once.
const LOT: usize = 16;
/// How many clients are given something before others of the thread have their turn.
const TURN: usize = 32;

/// See the module's words.
pub(super) struct Hall {
    relay: Relay,
    topic: Topic,
    transport: Transport,
    /// Its seat at the hub, once it has one.
    seat: Cell<Option<u64>>,
    opened: OnceCell<()>,
    keep: RefCell<Keep>,
    places: RefCell<Vec<Rc<Place>>>,
}

thread_local! {
    /// The halls of this thread, each for as long as somebody is in it.
    static HALLS: RefCell<HashMap<(usize, Topic), Weak<Hall>>> = RefCell::default();
}

impl Hall {
    /// Enters this thread's hall of a topic, which gets its seat with the first who enters.
    pub(super) async fn enter(
        relay: &Relay,
        topic: Topic,
        transport: Transport,
    ) -> Result<Listener, StoreError> {
        let hall = Self::of_this_thread(relay, topic, transport);
        hall.opened.get_or_try_init(|| Self::open(&hall)).await?;
        let (next, last) = hall.keep.borrow().end();
        let place = Rc::new(Place::new(hall.places.borrow().len(), next, last));
        hall.places.borrow_mut().push(place.clone());
        Ok(Listener { hall, place, position: last })
    }

    fn of_this_thread(relay: &Relay, topic: Topic, transport: Transport) -> Rc<Self> {
        HALLS.with_borrow_mut(|halls| {
            let key = (Arc::as_ptr(&relay.states) as usize, topic);
            let open = halls.get(&key).and_then(Weak::upgrade);
            if let Some(hall) = open.filter(|hall| hall.keep.borrow().ended().is_none()) {
                return hall;
            }
            halls.retain(|_, hall| hall.strong_count() > 0);
            let hall = Rc::new(Self {
                relay: relay.clone(),
                topic,
                transport,
                seat: Cell::default(),
                opened: OnceCell::new(),
                keep: RefCell::default(),
                places: RefCell::default(),
            });
            halls.insert(key, Rc::downgrade(&hall));
            hall
        })
    }

    async fn open(hall: &Rc<Self>) -> Result<(), StoreError> {
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let ended = Arc::<OnceLock<Ended>>::default();
        let (id, client) = (next_seat(), Client::new(hall.transport));
        let metrics = hall.relay.metrics.clone();
        let seat = Seat { id, queue: sender, client: client.clone(), ended: ended.clone(), metrics };
        hall.leave();
        hall.seat.set(Some(id));
        let position = hall.relay.join(hall.topic, seat).await?;
        hall.keep.borrow_mut().begin(position);
        spawn_local(hand_over(Rc::downgrade(hall), queue, client, ended));
        Ok(())
    }

    fn leave(&self) {
        if let Some(seat) = self.seat.take() {
            self.relay.leave(self.topic, seat);
        }
    }

    /// Gives everybody what has come, or wakes them for it.
    async fn give(&self, lot: Lot) {
        let (mut number, mut given) = (0, 0);
        loop {
            // They come and go while others have their turn. Who is passed over by that is woken below.
            let place = self.places.borrow().get(number).cloned();
            let Some(place) = place else { break };
            given += u64::from(place.give(&lot));
            number += 1;
            if number % TURN == 0 {
                yield_now().await;
            }
        }
        self.count(&lot, given);
        self.wake_the_rest();
    }

    /// Wakes those who have something to take, and forgets what everybody has.
    fn wake_the_rest(&self) {
        let (places, mut keep) = (self.places.borrow(), self.keep.borrow_mut());
        let mut oldest = keep.end().0;
        for place in places.iter().filter(|place| place.next.get() < keep.end().0) {
            if place.next.get() >= keep.first() {
                oldest = oldest.min(place.next.get());
            } else if !place.is_lost.replace(true) {
                let label = [self.transport.as_str()];
                self.relay.metrics.queue_overflows.with_label_values(&label).inc();
            }
            place.wake();
        }
        keep.forget_before(oldest);
    }

    fn count(&self, lot: &Lot, given: u64) {
        let (metrics, label) = (&self.relay.metrics, [self.transport.as_str()]);
        metrics.delivered.with_label_values(&label).inc_by(given * lot.count);
        metrics.delivered_bytes.with_label_values(&label).inc_by(given * lot.bytes);
    }

    fn end(&self, reason: Ended) {
        self.keep.borrow_mut().end_with(reason);
        self.places.borrow().iter().for_each(|place| place.wake());
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Passes on what comes to the hall's seat, until there is no more or nobody is left.
async fn hand_over(
    hall: Weak<Hall>,
    mut queue: mpsc::Receiver<Delivery>,
    client: Client,
    ended: Arc<OnceLock<Ended>>,
) {
    let mut deliveries = Vec::with_capacity(LOT);
    while queue.recv_many(&mut deliveries, LOT).await > 0 {
        let Some(hall) = hall.upgrade() else { return };
        client.waiting.fetch_sub(deliveries.iter().map(size).sum(), Ordering::Relaxed);
        let lot = Lot::of(hall.keep.borrow().end().0, hall.topic, &deliveries);
        hall.keep.borrow_mut().add(deliveries.drain(..));
        hall.give(lot).await;
    }
    if let Some(hall) = hall.upgrade() {
        hall.end(ended.get().copied().unwrap_or(Ended::ShuttingDown));
    }
}

/// Somebody in a hall.
pub struct Listener {
    hall: Rc<Hall>,
    place: Rc<Place>,
    position: Cursor,
}

impl Listener {
    /// The position that it listens from.
    pub(super) const fn position(&self) -> Cursor {
        self.position
    }

    /// From now on it can be given bytes directly.
    pub(super) fn attach(&self, outlet: Rc<dyn Outlet>) {
        self.place.outlet.replace(Some(outlet));
    }
}

impl Queue for Listener {
    async fn recv(&mut self, last: Cursor) -> Option<Delivery> {
        self.place.last.set(last);
        poll_fn(|cx| {
            let place = &self.place;
            match self.hall.keep.borrow().take(place.next.get()) {
                Taken::Message(delivery) => {
                    place.waits.set(false);
                    place.next.set(place.next.get() + 1);
                    Poll::Ready(Some(delivery))
                }
                Taken::Nothing => {
                    place.waits.set(true);
                    let mut waker = place.waker.borrow_mut();
                    if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                        *waker = Some(cx.waker().clone());
                    }
                    Poll::Pending
                }
                Taken::Lost | Taken::End => Poll::Ready(None),
            }
        })
        .await
    }

    fn passed(&self) -> Option<Cursor> {
        self.place.given.take()
    }

    fn ended(&self) -> Ended {
        if self.place.is_lost.get() {
            return Ended::TooSlow;
        }
        self.hall.keep.borrow().ended().unwrap_or(Ended::TooSlow)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let (mut places, number) = (self.hall.places.borrow_mut(), self.place.number.get());
        places.swap_remove(number);
        if let Some(moved) = places.get(number) {
            moved.number.set(number);
        }
    }
}
