//! Parts of the report.

use tokio::runtime::Runtime;

use super::{
    delivery,
    deployment::Deployment,
    endpoints, redis_cost, requests,
    scale::{Load, Scale},
    table::Line,
};

/// A part of the report that can be measured alone.
#[derive(Clone, Copy)]
pub enum Part {
    Fanout,
    Idle,
    Webhook,
    Requests,
    Growth,
    Redis,
    Endpoints,
    Log,
}

impl Part {
    pub const ALL: &'static [Self] = &[
        Self::Fanout,
        Self::Idle,
        Self::Webhook,
        Self::Requests,
        Self::Growth,
        Self::Redis,
        Self::Endpoints,
        Self::Log,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Idle => "idle",
            Self::Webhook => "webhook",
            Self::Requests => "requests",
            Self::Growth => "growth",
            Self::Redis => "redis",
            Self::Endpoints => "endpoints",
            Self::Log => "log",
        }
    }

    /// Measures as deployed and then bare; returns the lines of the report.
    pub fn measure(self, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
        if matches!(self, Self::Log) {
            return requests::log_cost(scale, runtime);
        }
        println!("{}, as deployed:", self.name());
        let deployed = self.measure_in(Deployment::DEPLOYED, scale, runtime);
        println!("{}, bare:", self.name());
        let bare = self.measure_in(Deployment::BARE, scale, runtime);
        deployed.into_iter().zip(bare).map(|(deployed, bare)| deployed.with_bare(bare)).collect()
    }

    fn measure_in(self, deployment: Deployment, scale: &Scale, runtime: &Runtime) -> Vec<Line> {
        match self {
            Self::Fanout => {
                let low = Load { rate: scale.low_rate, ..scale.load };
                let loads = [scale.load, low].into_iter();
                loads.flat_map(|load| delivery::fan_out(deployment, load, scale.rounds, runtime)).collect()
            }
            Self::Idle => delivery::idle(deployment, scale, runtime),
            Self::Webhook => delivery::webhook(deployment, scale, runtime),
            Self::Requests => requests::each_kind(deployment, scale, runtime),
            Self::Growth => requests::growth(deployment, scale, runtime),
            Self::Redis => redis_cost::all(deployment, scale, runtime),
            Self::Endpoints => endpoints::all(deployment, scale, runtime),
            Self::Log => Vec::new(),
        }
    }
}
