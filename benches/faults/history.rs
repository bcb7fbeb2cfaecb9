//! Kills of the archiving instance, of Redis and of Postgres under load; comparison of the history with the logs.

use super::support::history_faults::{Deployment, Outcome, Victim};

/// Name of the section, as an argument of `scripts/faults`.
pub const NAME: &str = "history";
/// Number of kills.
const KILLS: usize = 50;
const HEAD: &str = "| kills | archiving instance | Redis | Postgres | events | visits | missing | unexpected | gaps \
                    | caught up after |\n\
                    | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |";

/// Results of all kills.
pub struct Row {
    kills: Vec<Victim>,
    outcome: Outcome,
}

/// Kills one after another, and compares at the end.
pub async fn measure() -> Row {
    let kills: Vec<_> = Victim::ALL.into_iter().cycle().take(KILLS).collect();
    let mut deployment = Deployment::start().await;
    deployment.kill(kills.clone()).await;
    Row { kills, outcome: deployment.compare().await }
}

impl Row {
    /// Reports whether each event and each visit has exactly one row.
    pub fn is_exact(&self) -> bool {
        self.outcome.is_exact()
    }

    fn line(&self) -> String {
        let [archiver, redis, postgres] =
            Victim::ALL.map(|victim| self.kills.iter().filter(|killed| **killed == victim).count());
        let Outcome { events, visits, missing, unexpected, gaps, caught_up } = &self.outcome;
        format!(
            "| {} | {archiver} | {redis} | {postgres} | {events} | {visits} | **{missing}** | **{unexpected}** \
             | **{gaps}** | {:.1} s |",
            self.kills.len(),
            caught_up.as_secs_f64(),
        )
    }
}

/// The lines around the section.
const MARKS: [&str; 2] = ["<!-- history: begin -->\n", "<!-- history: end -->\n\n"];

/// Returns the section of the report.
pub fn section(row: &Row, circumstances: &str) -> String {
    let [begin, end] = MARKS;
    format!("{begin}{}{HEAD}\n{}\n\n{circumstances}\n{end}", include_str!("history.md"), row.line())
}

/// Returns the table.
pub fn table(row: &Row) -> String {
    format!("{HEAD}\n{}", row.line())
}

/// Returns where the section begins and ends in the report; `None` in one without it.
pub fn place(page: &str) -> Option<(usize, usize)> {
    let [begin, end] = MARKS.map(|mark| page.find(mark));
    Some((begin?, end? + MARKS[1].len()))
}
