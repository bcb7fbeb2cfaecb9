//! Limit of open files of this process (`nofile`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to the maximum that the process may set, and returns it.
///
/// Shells and service managers set a low limit for programs that use `select`, and a high maximum for all others.
pub fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is infinity.
    let is_lower = current.is_some_and(|current| maximum.is_none_or(|maximum| current < maximum));
    let raised = is_lower && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_raised_to_their_maximum() {
        let raised = raise_open_files();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()), raised);
        assert_eq!(raise_open_files(), raised, "nothing is left to raise");
    }
}
