//! One run of a member's process, from its start to its end.

use baton_consensus::Broken;
use commonware_utils::sync::Mutex;
use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Shared by all tasks of the process.
#[derive(Default)]
pub struct Life {
    ended: AtomicBool,
    paused: AtomicBool,
    /// Its disk gave it a reason to end.
    excused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why the process ended by itself.
    cause: Option<String>,
    /// Tasks that wanted to run while paused.
    parked: Vec<Waker>,
}

impl Life {
    /// Ends the process: none of its tasks runs any more, and no write of it reaches the disk.
    pub fn end(&self, cause: String) {
        self.state.lock().cause.get_or_insert(cause);
        self.ended.store(true, Ordering::Relaxed);
    }

    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub fn cause(&self) -> Option<String> {
        self.state.lock().cause.clone()
    }

    pub fn excuse(&self) {
        self.excused.store(true, Ordering::Relaxed);
    }

    /// Whether the process may end by itself.
    pub fn excused(&self) -> bool {
        self.excused.load(Ordering::Relaxed)
    }

    /// As SIGSTOP and SIGCONT do.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        if !paused {
            let parked = std::mem::take(&mut self.state.lock().parked);
            parked.into_iter().for_each(Waker::wake);
        }
    }
}

/// A task of the process: runs only while the process does, and ends the process when it panics.
pub struct Task<F> {
    life: Arc<Life>,
    task: Pin<Box<F>>,
}

impl<F: Future> Task<F> {
    pub fn new(life: Arc<Life>, task: F) -> Self {
        Self { life, task: Box::pin(task) }
    }
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.life.ended() {
            return Poll::Pending;
        }
        if self.life.paused.load(Ordering::Relaxed) {
            self.life.state.lock().parked.push(context.waker().clone());
            return Poll::Pending;
        }
        match catch_unwind(AssertUnwindSafe(|| self.task.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                self.life.end(format!("panicked: {}", message(&*panic)));
                Poll::Pending
            }
        }
    }
}

thread_local! {
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Instead of printing a panic, keeps where it happened for [`message`].
pub fn hush_panics() {
    panic::set_hook(Box::new(|info| {
        let at = info.location().map_or_else(String::new, |at| format!(" at {at}"));
        PANICKED_AT.with_borrow_mut(|last| *last = at);
    }));
}

/// What a panic of this thread said.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let at = PANICKED_AT.with_borrow(Clone::clone);
    if let Some(broken) = panic.downcast_ref::<Broken>() {
        return format!("{broken}{at}");
    }
    let text = match panic.downcast_ref::<&str>() {
        Some(text) => *text,
        None => panic.downcast_ref::<String>().map_or("(no message)", String::as_str),
    };
    format!("{text}{at}")
}
