use crate::aliases::Runtime;
use commonware_runtime::telemetry::metrics::{Counter, CounterFamily, EncodeLabelSet, MetricsExt as _};

/// Why a message was of no use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Useless {
    pub reason: &'static str,
}

pub struct Metrics {
    pub made: Counter,
    pub certified: Counter,
    pub served: Counter,
    pub replaced: Counter,
    pub useless: CounterFamily<Useless>,
}

impl Metrics {
    pub fn new<E: Runtime>(context: &E) -> Self {
        Self {
            made: context.counter("batches_made", "batches that this node made and signed"),
            certified: context.counter("batches_certified", "batches with the signature of the group"),
            served: context.counter("certificates_served", "certificates sent to members that lacked them"),
            replaced: context.counter("lines_replaced", "times that the hatch made batches go elsewhere"),
            useless: context
                .family("messages_useless", "messages about batches that were of no use, by reason"),
        }
    }

    pub fn useless(&self, reason: &'static str) {
        self.useless.get_or_create(&Useless { reason }).inc();
    }
}
