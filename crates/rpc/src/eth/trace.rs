//! Traces: a transaction run again, step by step or call by call, or for the accounts that it changed.

mod meter;

use super::{Methods, Rollup, errors};
use crate::{api::Caller, dispatch::Failure};
use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{
    CallConfig, GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerType as Tracer,
    GethDebugTracingOptions, GethDefaultTracingOptions, GethTrace, PreStateConfig,
};
use baton_execution::evm::{Rules, Scene, Signed};
use meter::Meter;
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

pub fn methods<S: Clone + Send + Sync + 'static>(methods: Methods<S>) -> Methods<S> {
    methods.with(
        "debug_traceTransaction",
        "Runs a transaction of a final block again: every step, with the tracer callTracer every call, with \
         prestateTracer the accounts before, or in diffMode before and after.",
        trace_transaction,
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TraceParams {
    #[schemars(with = "String")]
    hash: B256,
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    options: Option<Box<GethDebugTracingOptions>>,
}

/// What is asked for.
enum Wanted {
    Steps(GethDefaultTracingOptions),
    Calls(CallConfig),
    States(PreStateConfig),
}

impl Wanted {
    fn new(options: GethDebugTracingOptions) -> Result<Self, Failure> {
        match options.tracer {
            None => Ok(Self::Steps(options.config)),
            Some(Tracer::BuiltInTracer(BuiltIn::CallTracer)) => {
                options.tracer_config.into_call_config().map(Self::Calls).map_err(bad_config)
            }
            Some(Tracer::BuiltInTracer(BuiltIn::PreStateTracer)) => {
                options.tracer_config.into_pre_state_config().map(Self::States).map_err(bad_config)
            }
            Some(other) => {
                let name: String = other.as_str().chars().take(64).collect();
                let detail = format!(
                    "options.tracer: {name:?} is not supported; callTracer and prestateTracer are, or leave it out"
                );
                Err(errors::invalid(detail))
            }
        }
    }

    fn inspector(&self) -> TracingInspector {
        TracingInspector::new(match self {
            Self::Steps(options) => TracingInspectorConfig::from_geth_config(options),
            Self::Calls(config) => TracingInspectorConfig::from_geth_call_config(config),
            Self::States(_) => TracingInspectorConfig::none(),
        })
    }
}

fn bad_config(error: serde_json::Error) -> Failure {
    errors::invalid(format!("options.tracerConfig: {error}"))
}

async fn trace_transaction(
    rollup: Arc<Rollup>,
    _: Caller,
    params: TraceParams,
) -> Result<GethTrace, Failure> {
    let wanted = Wanted::new(params.options.map_or_else(Default::default, |options| *options))?;
    let place =
        rollup.backend.place(params.hash).await?.ok_or_else(|| errors::plain("transaction not found"))?;
    let block = rollup.backend.block(place.number).await?.ok_or_else(errors::no_block)?;
    let before = place.number.checked_sub(1).ok_or_else(errors::no_block)?;
    let parent = rollup.backend.past(before).await?.ok_or_else(errors::no_block)?;
    rollup
        .heavy(move |rollup| {
            let params = rollup.params();
            let transactions = &block.transactions;
            let (first, rest) = transactions.split_at_checked(place.index).ok_or_else(errors::no_block)?;
            let signed = rest.first().ok_or_else(errors::no_block)?;
            let scene = Scene::before(params, &parent, &block.head.header, first);
            trace(rollup, &scene, signed, wanted)
        })
        .await
}

fn trace(rollup: &Rollup, scene: &Scene, signed: &Signed, wanted: Wanted) -> Result<GethTrace, Failure> {
    let transaction = Scene::signed(signed);
    let meter = Meter::new(rollup.limits.eth.trace_bytes_max, &wanted);
    let mut inspector = (meter, wanted.inspector());
    let ran = scene.inspect(rollup.params(), transaction.clone(), Rules::Signed, &mut inspector);
    let executed = ran.map_err(|error| errors::refused(&error, &transaction, scene.env.base_fee))?;
    let (_, mut tracing) = inspector;
    tracing.set_transaction_gas_limit(transaction.gas_limit);
    let gas_used = executed.result.tx_gas_used();
    let builder = tracing.geth_builder();
    Ok(match wanted {
        Wanted::Steps(options) => {
            let returned = executed.result.into_output().unwrap_or_default();
            let mut frame = builder.geth_traces(gas_used, returned, options);
            for error in frame.struct_logs.iter_mut().filter_map(|step| step.error.as_mut()) {
                // The library shows an option as it is.
                if let Some(reason) = error.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')) {
                    *error = reason.to_owned();
                }
            }
            GethTrace::Default(frame)
        }
        Wanted::Calls(config) => GethTrace::CallTracer(builder.geth_call_traces(config, gas_used)),
        Wanted::States(config) => {
            let max = rollup.limits.eth.trace_bytes_max;
            if meter::state_bytes(scene, &executed.state, &config) > max {
                let detail = format!("the trace takes over {max} bytes; set disableCode or disableStorage");
                return Err(errors::limit(detail));
            }
            let Ok(frame) = builder.geth_prestate_traces(&executed, &config, scene);
            GethTrace::PreStateTracer(frame)
        }
    })
}
