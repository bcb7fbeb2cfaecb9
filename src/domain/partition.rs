//! Partition: the part of the store in which a stream lives.
//!
//! A deployment has a fixed number of partitions. A stream lives in the partition of its room name, so that one atomic
//! step decides who owns the name. The stream's id says the partition too, so an id is enough to find the stream. A
//! cursor says the partition whose log issued it.

use xxhash_rust::xxh3::xxh3_64;

use super::{Cursor, RoomName, StreamId};

/// Maximum number of partitions: the values of a byte, which numbers them.
pub const MAX_PARTITIONS: u16 = 256;

/// Number of a partition, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// The first partition, which is the only one of an unpartitioned store.
    pub const FIRST: Self = Self(0);

    /// Returns the number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Division of all streams, callers and cursors into partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitioning {
    count: u16,
}

impl Partitioning {
    /// One partition.
    pub const SINGLE: Self = Self { count: 1 };

    /// Divides into `count` partitions; `None` unless it is from 1 to [`MAX_PARTITIONS`].
    pub fn new(count: u16) -> Option<Self> {
        (1..=MAX_PARTITIONS).contains(&count).then_some(Self { count })
    }

    /// Returns the number of partitions.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Returns all partitions in order.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.count).map(move |number| self.numbered(number.into()))
    }

    /// Returns the partition of a stream: the last two bytes of its id, which are random in a UUID of version 7, modulo
    /// the number of partitions. One byte would spread streams unevenly over most numbers of partitions.
    pub fn of_stream(self, id: StreamId) -> Partition {
        self.numbered(id.last_bytes().into())
    }

    /// Returns the partition of a room name. A name that is a stream id has the partition of that stream, because the
    /// default name of a room is the id of its stream.
    pub fn of_room(self, room: &RoomName) -> Partition {
        match room.as_stream_id() {
            Some(id) => self.of_stream(id),
            None => self.of_text(room.as_str()),
        }
    }

    /// Returns the partition of any other text, such as that of a caller.
    pub fn of_text(self, text: &str) -> Partition {
        self.numbered(xxh3_64(text.as_bytes()))
    }

    /// Returns the partition whose log issued a cursor.
    pub const fn of_cursor(self, cursor: Cursor) -> Partition {
        self.numbered(cursor.number())
    }

    /// Returns `id` with last bytes that say the partition of the room name. Placing the result again has no effect.
    #[must_use]
    pub fn place(self, id: StreamId, room: &RoomName) -> StreamId {
        self.move_to(id, self.of_room(room))
    }

    /// Returns `id` with last bytes that say this partition, and with the other bits of them if possible.
    #[must_use]
    pub fn move_to(self, id: StreamId, partition: Partition) -> StreamId {
        let number = id.last_bytes();
        let first = number - number % self.count;
        let moved = first.checked_add(partition.0.into());
        id.with_last_bytes(moved.unwrap_or_else(|| first - self.count + u16::from(partition.0)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder by at most 256 is at most 255")]
    const fn numbered(self, number: u64) -> Partition {
        Partition((number % self.count as u64) as u8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn room(text: &str) -> RoomName {
        RoomName::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn placed_id_says_the_partition_of_its_room(
            bytes in any::<u128>(), count in 1..=MAX_PARTITIONS, name in "[a-z]{1,20}",
        ) {
            let partitioning = Partitioning::new(count).unwrap();
            let id = StreamId::from_uuid(Uuid::from_u128(bytes));
            let placed = partitioning.place(id, &room(&name));
            prop_assert_eq!(partitioning.of_stream(placed), partitioning.of_room(&room(&name)));
            prop_assert_eq!(partitioning.place(placed, &room(&name)), placed);
            prop_assert_eq!(Partitioning::SINGLE.place(id, &room(&name)), id);
            prop_assert_eq!(placed.with_last_bytes(0), id.with_last_bytes(0));
        }
    }

    #[test]
    fn default_room_name_has_the_partition_of_its_stream() {
        let partitioning = Partitioning::new(7).unwrap();
        for id in (0..100).map(|_| StreamId::generate()) {
            assert_eq!(partitioning.of_room(&id.into()), partitioning.of_stream(id));
            assert_eq!(partitioning.place(id, &id.into()), id);
        }
    }

    #[test]
    fn names_and_ids_spread_evenly() {
        for count in [16, 200] {
            let partitioning = Partitioning::new(count).unwrap();
            let (mut of_rooms, mut of_ids) = ([0; 200], [0; 200]);
            for number in 0..u32::from(count) * 1_000 {
                of_rooms[partitioning.of_room(&room(&format!("room-{number}"))).index()] += 1;
                of_ids[partitioning.of_stream(StreamId::generate()).index()] += 1;
            }
            let count = usize::from(count);
            for own in of_rooms[..count].iter().chain(&of_ids[..count]) {
                assert!((800..1_200).contains(own), "{own} of 1,000 expected in each of {count} partitions");
            }
        }
    }

    #[test]
    fn number_of_partitions_is_bounded() {
        assert_eq!(Partitioning::new(1), Some(Partitioning::SINGLE));
        assert_eq!(Partitioning::new(256).map(|all| all.all().count()), Some(256));
        assert!(Partitioning::new(0).is_none() && Partitioning::new(257).is_none());
    }
}
