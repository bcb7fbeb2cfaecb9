//! Hash tags of the partitions, chosen so that the partitions fall evenly on the slots of a Redis Cluster.
//!
//! The slots are divided into as many ranges as there are partitions, and the slot of each tag is near the middle of
//! its range. Masters own contiguous ranges of slots, of equal size in a cluster that `redis-cli` has made. Any such
//! masters therefore have equal numbers of partitions, give or take one.

use crc::{CRC_16_XMODEM, Crc};

use crate::domain::{Partition, Partitioning};

/// Number of slots of a Redis Cluster.
const SLOTS: u32 = 16_384;
/// The checksum that selects a slot, from the Redis Cluster specification.
const SLOT_CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Returns the hash tag of a partition, without braces: the prefix itself for the only partition, otherwise
/// `prefix:partition:number`, with the first number whose slot fits. The search takes about 8 checksums for each
/// partition that exists.
pub fn hash_tag(prefix: &str, partition: Partition, partitioning: Partitioning) -> String {
    if partitioning == Partitioning::SINGLE {
        return prefix.to_owned();
    }
    let (count, partition) = (u32::from(partitioning.count()), partition.number());
    // Distances are in halves of a slot, because the middle of a range may be between two slots.
    let middle = (2 * u32::from(partition) + 1) * SLOTS / count;
    let nearest = (SLOTS / count / 8).max(2);
    let mut number = 0_u32;
    loop {
        let tag = format!("{prefix}:{partition}:{number}");
        if middle.abs_diff(2 * u32::from(slot(&tag))) <= nearest {
            return tag;
        }
        number += 1;
    }
}

/// Returns the slot of the keys with a hash tag.
pub(super) fn slot(tag: &str) -> u16 {
    SLOT_CHECKSUM.checksum(tag.as_bytes()) % SLOTS as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_tags(prefix: &str, count: u16) -> Vec<String> {
        let partitioning = Partitioning::new(count).unwrap();
        partitioning.all().map(|partition| hash_tag(prefix, partition, partitioning)).collect()
    }

    /// Returns how many partitions each of `masters` equal ranges of slots has.
    fn spread(tags: &[String], masters: u32) -> Vec<u32> {
        let mut partitions = vec![0; masters as usize];
        for tag in tags {
            partitions[(u32::from(slot(tag)) * masters / SLOTS) as usize] += 1;
        }
        partitions
    }

    #[test]
    fn slot_is_that_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
    }

    #[test]
    fn partitions_spread_evenly_over_masters() {
        for count in [2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 256] {
            let tags = hash_tags("lso", count);
            assert_eq!(tags.len(), usize::from(count));
            for masters in [3, 4, 6, 8] {
                let spread = spread(&tags, masters);
                let (most, least) = (spread.iter().max().unwrap(), spread.iter().min().unwrap());
                assert!(most - least <= 1, "{count} partitions on {masters} masters: {spread:?}");
            }
        }
    }

    #[test]
    fn one_partition_has_the_prefix_as_its_tag() {
        assert_eq!(hash_tags("lso", 1), ["lso"]);
    }

    #[test]
    fn tags_of_a_deployment_stay_the_same() {
        assert_eq!(hash_tags("lso", 4), ["lso:0:31", "lso:1:11", "lso:2:79", "lso:3:59"]);
    }
}
