//! Lines of the report's table.

/// A line of the table: a case, the results of other servers, the target, and the results of this service.
pub struct Line {
    case: String,
    write_loop: String,
    nchan: String,
    mercure: String,
    express: String,
    target: String,
    /// This service as deployed.
    own: String,
    /// This service bare.
    bare: String,
}

impl Line {
    pub fn new(case: String) -> Self {
        let [write_loop, nchan, mercure, express, target, own, bare] =
            std::array::from_fn(|_| "–".to_owned());
        Self { case, write_loop, nchan, mercure, express, target, own, bare }
    }

    /// Sets the results of other servers. Those of Mercure and Express are quoted from earlier runs.
    pub fn peers(self, write_loop: String, nchan: String, mercure: &str, express: &str) -> Self {
        let (mercure, express) = (mercure.to_owned(), express.to_owned());
        Self { write_loop, nchan, mercure, express, ..self }
    }

    pub fn express(self, express: String) -> Self {
        Self { express, ..self }
    }

    pub fn target(self, target: impl Into<String>) -> Self {
        Self { target: target.into(), ..self }
    }

    pub fn own(self, own: String) -> Self {
        Self { own, ..self }
    }

    /// Adds the result of the same measurement on the bare service.
    pub fn with_bare(self, bare: Self) -> Self {
        Self { bare: bare.own, ..self }
    }

    /// Renders the line as Markdown.
    pub fn text(&self) -> String {
        let Self { case, write_loop, nchan, mercure, express, target, own, bare } = self;
        format!("| {case} | {write_loop} | {nchan} | {mercure} | {express} | {target} | **{own}** | {bare} |")
    }
}

/// Head of the table.
pub const HEAD: &str = "| case | bare write loop | nchan | Mercure | Express | to reach | this service, as deployed \
                    | this service, bare |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- |";
