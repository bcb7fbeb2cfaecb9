//! Bounded queue of log lines, and the thread that writes them.
//!
//! A line costs its thread a lock and a copy. The writer writes all queued lines with one `write(2)`: at most once per
//! [`PAUSE`] under load, and at once if the queue was empty.

use std::{
    io::{self, ErrorKind, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::metrics::log_lines_lost;

/// Maximum queued bytes: about 16,000 request lines.
const CAPACITY: usize = 4 << 20;
/// Further bytes for warnings and errors only, so that request lines do not displace them.
const RESERVE: usize = 1 << 20;
/// Capacity to which the buffers shrink after each batch.
const KEPT_BUFFER: usize = 1 << 20;
/// Pause between two batches. A process that is killed (SIGKILL) loses the lines of this time.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    queued: Vec<u8>,
    /// Total lines queued.
    accepted: u64,
    /// Total lines that were written or lost.
    done: u64,
    /// Lines lost since the last report.
    lost: u64,
    /// The last write failed.
    is_broken: bool,
    /// The writer waits for a line.
    is_idle: bool,
}

impl State {
    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        if let Some(counter) = log_lines_lost() {
            counter.inc_by(lines);
        }
    }
}

/// Queue of log lines in order.
#[derive(Default)]
pub struct LogQueue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

impl LogQueue {
    /// Starts the thread that writes to `output`. The thread ends with the process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let writer_queue = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer_queue.write_batches(output))?;
        Ok(queue)
    }

    /// Waits until the lines queued so far and the report of lost lines are written, for at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        self.wait_until(end);
        self.report_lost();
        self.wait_until(end);
    }

    fn wait_until(&self, end: Instant) {
        let (state, limit) = (self.lock(), end.saturating_duration_since(Instant::now()));
        let last = state.accepted;
        drop(self.written.wait_timeout_while(state, limit, |state| state.done < last));
    }

    /// Queues a line, or counts it as lost if it does not fit.
    fn push(&self, line: &[u8], capacity: usize) {
        let mut state = self.lock();
        if state.queued.len() + line.len() > capacity {
            state.lose(1);
            return;
        }
        state.queued.extend_from_slice(line);
        state.accepted += 1;
        if state.is_idle {
            state.is_idle = false;
            self.filled.notify_one();
        }
    }

    fn write_batches(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let last = self.take(&mut batch);
            // The queue is empty here, so the report fits.
            self.report_lost();
            let unwritten = write_all(&mut output, &batch);
            self.finish(last, unwritten);
            batch.clear();
            batch.shrink_to(KEPT_BUFFER);
            thread::sleep(PAUSE);
        }
    }

    /// Waits for lines and moves them to the empty `batch`. Returns the number of the last line.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        while state.queued.is_empty() {
            state.is_idle = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        std::mem::swap(&mut state.queued, batch);
        state.accepted
    }

    /// Logs the number of lost lines. Waits for a successful write, because a report that is lost would cause another
    /// one.
    fn report_lost(&self) {
        let mut state = self.lock();
        let lines = if state.is_broken { 0 } else { std::mem::take(&mut state.lost) };
        drop(state);
        if lines > 0 {
            tracing::error!(
                lines,
                "log lines were lost: standard error is not read fast enough, or writing to it fails"
            );
        }
    }

    /// Records the end of the batch whose last line is `last`. The unwritten part of it is lost.
    fn finish(&self, last: u64, unwritten: &[u8]) {
        let lines = unwritten.iter().filter(|byte| **byte == b'\n').count();
        let mut state = self.lock();
        state.lose(u64::try_from(lines).unwrap_or(u64::MAX));
        state.is_broken = !unwritten.is_empty();
        state.done = last;
        self.written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a batch and returns its unwritten part. Waits for a pipe that another process has made non-blocking.
fn write_all<'a>(output: &mut impl Write, mut batch: &'a [u8]) -> &'a [u8] {
    while !batch.is_empty() {
        match output.write(batch) {
            Ok(0) => return batch,
            Ok(count) => batch = batch.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return batch,
        }
    }
    batch
}

/// Makes writers that add lines to the queue.
pub struct QueueWriter(pub Arc<LogQueue>);

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: &self.0, capacity: CAPACITY }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        let is_urgent = *metadata.level() <= Level::WARN;
        LineWriter { queue: &self.0, capacity: if is_urgent { CAPACITY + RESERVE } else { CAPACITY } }
    }
}

/// Adds each write to the queue as one line. tracing-subscriber writes whole lines.
pub struct LineWriter<'a> {
    queue: &'a LogQueue,
    capacity: usize,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.capacity);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Output that sends each write to a receiver. Blocks while the channel is full, as a pipe does.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(room: usize) -> (Arc<LogQueue>, Receiver<Vec<u8>>) {
        let (pipe, written) = sync_channel(room);
        (LogQueue::start(Pipe(pipe)).unwrap(), written)
    }

    fn lost(queue: &LogQueue) -> u64 {
        queue.lock().lost
    }

    #[test]
    fn lines_in_order_are_written_in_order() {
        let (queue, written) = queue(1_000);
        let lines: Vec<_> = (0..1_000).map(|n| format!("{n}\n")).collect();
        lines.iter().for_each(|line| queue.push(line.as_bytes(), CAPACITY));
        queue.flush(LONG);
        assert_eq!(written.try_iter().flatten().collect::<Vec<_>>(), lines.concat().into_bytes());
    }

    #[test]
    fn guard_of_a_thread_that_panics_writes_queued_lines() {
        let (queue, written) = queue(10);
        let guard = super::super::LogGuard(queue.clone());
        let panicked = thread::spawn(move || {
            let _guard = guard;
            queue.push(b"last\n", CAPACITY);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.join().is_err());
        assert_eq!(written.try_recv().unwrap(), b"last\n");
    }

    #[test]
    fn lines_beyond_the_capacity_are_counted_and_the_reserve_is_kept() {
        let (queue, written) = queue(0);
        queue.push(b"taken by the writer\n", 50);
        // From here on, the first line blocks the writer.
        while !queue.lock().queued.is_empty() {
            thread::yield_now();
        }
        (0..10).for_each(|_| queue.push(b"ten bytes\n", 50));
        assert_eq!(lost(&queue), 5);
        queue.push(b"error\n", 60);
        assert_eq!(lost(&queue), 5, "the line fits into the reserve");
        assert_eq!(written.recv_timeout(LONG).unwrap(), b"taken by the writer\n");
        assert!(written.recv_timeout(LONG).unwrap().ends_with(b"ten bytes\nerror\n"));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (queue, written) = queue(0);
        drop(written);
        queue.push(b"one\ntwo\n", CAPACITY);
        queue.flush(LONG);
        assert_eq!(lost(&queue), 2);
    }

    #[test]
    fn flush_of_a_writer_that_stalls_ends_at_its_limit() {
        let (queue, _unread) = queue(0);
        queue.push(b"stuck\n", CAPACITY);
        queue.flush(Duration::from_millis(1));
        assert_eq!(queue.lock().done, 0);
    }
}
