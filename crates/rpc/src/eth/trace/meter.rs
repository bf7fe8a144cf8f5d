//! Stops a run whose trace would become too large.
//!
//! A trace may be many times as large as the gas spent suggests: one that ran for 30 million gas may have
//! copied the same megabyte thousands of times.

use super::Wanted;
use alloy_rpc_types_trace::geth::PreStateConfig;
use baton_execution::evm::{Scene, SceneContext};
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextTr as _, context::ContextError},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter_types::{Jumps as _, LoopControl as _, MemoryTr as _},
    },
    primitives::Log,
    state::{Account, EvmState},
};

/// Of one step, without stack, memory and storage.
const STEP_BYTES: usize = 150;
const WORD_BYTES: usize = 70;
/// A slot and its value.
const SLOT_BYTES: usize = 140;
/// An account before and after, without code and slots.
const ACCOUNT_BYTES: usize = 400;
/// Of one call, without input and output.
const CALL_BYTES: usize = 500;

/// Counts what a trace will take as JSON, roughly and not less.
pub struct Meter {
    left: usize,
    max: usize,
    steps: bool,
    stack: bool,
    memory: bool,
    storage: bool,
    /// Reads and writes of storage so far; every further one shows those before it again.
    slots: usize,
}

impl Meter {
    pub fn new(max: usize, wanted: &Wanted) -> Self {
        let (steps, stack, memory, storage) = match wanted {
            Wanted::Steps(options) => (
                true,
                !options.disable_stack.unwrap_or_default(),
                options.is_memory_enabled(),
                !options.disable_storage.unwrap_or_default(),
            ),
            Wanted::Calls(_) | Wanted::States(_) => (false, false, false, false),
        };
        Self { left: max, max, steps, stack, memory, storage, slots: 0 }
    }

    const fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn step_bytes(&mut self, interp: &Interpreter) -> usize {
        let mut bytes = STEP_BYTES;
        if self.stack {
            bytes += WORD_BYTES * interp.stack.len();
        }
        if self.memory {
            bytes += 2 * interp.memory.size();
        }
        if self.storage && matches!(interp.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE) {
            self.slots += 1;
            bytes += SLOT_BYTES * self.slots;
        }
        bytes
    }
}

/// What the accounts that a run touched take as JSON, before and after.
pub fn state_bytes(scene: &Scene, touched: &EvmState, config: &PreStateConfig) -> usize {
    let slots = |account: &Account| {
        if config.storage_enabled() { 2 * SLOT_BYTES * account.storage.len() } else { 0 }
    };
    let code = |address, account: &Account| {
        let before = scene.state.account(address).and_then(|facts| scene.state.code(&facts.code_hash));
        let lengths = before.map_or(0, |code| code.original_byte_slice().len())
            + account.info.code.as_ref().map_or(0, |code| code.original_byte_slice().len());
        if config.code_enabled() { 2 * lengths } else { 0 }
    };
    touched.iter().map(|(address, account)| ACCOUNT_BYTES + slots(account) + code(address, account)).sum()
}

impl Inspector<SceneContext> for Meter {
    fn step(&mut self, interp: &mut Interpreter, context: &mut SceneContext) {
        if self.steps {
            let bytes = self.step_bytes(interp);
            self.take(bytes);
        }
        if self.left == 0 {
            let message = format!("the trace takes over {} bytes; trace less, as with callTracer", self.max);
            *context.error() = Err(ContextError::Custom(message));
            interp.bytecode.reset_action();
            interp.halt_fatal();
        }
    }

    fn log(&mut self, _: &mut SceneContext, log: Log) {
        self.take(WORD_BYTES * log.topics().len() + 2 * log.data.data.len());
    }

    fn call(&mut self, _: &mut SceneContext, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.take(CALL_BYTES + 2 * inputs.input.len());
        None
    }

    fn call_end(&mut self, _: &mut SceneContext, _: &CallInputs, outcome: &mut CallOutcome) {
        self.take(2 * outcome.result.output.len());
    }

    fn create(&mut self, _: &mut SceneContext, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.take(CALL_BYTES + 2 * inputs.init_code().len());
        None
    }

    fn create_end(&mut self, _: &mut SceneContext, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.take(2 * outcome.result.output.len());
    }
}
