use crate::aliases::Runtime;
use baton_types::receipt::Reason;
use commonware_runtime::telemetry::metrics::{Counter, CounterFamily, EncodeLabelSet, MetricsExt as _};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    reason: &'static str,
}

pub struct Metrics {
    pub bad_messages: Counter,
    pub strangers: Counter,
    pub unsent: Counter,
    pub acks_unawaited: Counter,
    pub journaled: Counter,
    pub journaled_already: Counter,
    refused: CounterFamily<Label>,
}

impl Metrics {
    pub fn new(context: &impl Runtime) -> Self {
        Self {
            bad_messages: context.counter("bad_messages", "messages that did not decode"),
            strangers: context.counter("strangers", "messages of peers that are not members"),
            unsent: context.counter("unsent", "messages that the transport took for nobody"),
            acks_unawaited: context.counter("acks_unawaited", "acknowledgements that nobody waits for"),
            journaled: context.counter("journaled", "units written to the journal"),
            journaled_already: context
                .counter("journaled_already", "units of others that were safe before they asked"),
            refused: context.family("refused", "units of other members that the pool refused"),
        }
    }

    pub fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&Label { reason: reason.name() }).inc();
    }
}
