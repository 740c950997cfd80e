//! Answers that come together: whoever waits for them on another thread is woken once, behind the last of
//! them, and not by each.

use std::cell::RefCell;
use std::sync::Arc;

/// Somebody on another thread.
pub(crate) trait Wake {
    /// Has them look at what there is.
    fn wake(&self);
}

thread_local! {
    /// Who is to be woken at the end, while answers come together on this thread.
    static WAITING: RefCell<Option<Vec<Arc<dyn Wake>>>> = const { RefCell::new(None) };
}

/// What is answered within `answer` is told to each of those who wait once, when the outermost of these ends.
pub(crate) fn together<T>(answer: impl FnOnce() -> T) -> T {
    let is_outermost = WAITING.with_borrow_mut(|waiting| {
        let is_outermost = waiting.is_none();
        waiting.get_or_insert_default();
        is_outermost
    });
    let _end = is_outermost.then_some(End);
    answer()
}

/// Wakes those who wait, also if answering panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let waiting = WAITING.with_borrow_mut(Option::take);
        for sleeper in waiting.into_iter().flatten() {
            sleeper.wake();
        }
    }
}

/// Wakes somebody: now, or at the end of what comes together on this thread.
#[cfg_attr(not(feature = "node"), allow(dead_code))]
pub(crate) fn wake(sleeper: Arc<dyn Wake>) {
    let alone = WAITING.with_borrow_mut(|waiting| match waiting {
        Some(waiting) => {
            waiting.push(sleeper);
            None
        }
        None => Some(sleeper),
    });
    if let Some(sleeper) = alone {
        sleeper.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Sleeper(AtomicUsize);

    impl Wake for Sleeper {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Sleeper {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn whoever_is_alone_is_woken_at_once() {
        let sleeper = Arc::new(Sleeper::default());
        wake(Arc::<Sleeper>::clone(&sleeper));
        assert_eq!(sleeper.times(), 1);
    }

    #[test]
    fn what_comes_together_is_told_at_the_end() {
        let sleeper = Arc::new(Sleeper::default());
        together(|| {
            together(|| wake(Arc::<Sleeper>::clone(&sleeper)));
            assert_eq!(sleeper.times(), 0, "one within another ends with that");
        });
        assert_eq!(sleeper.times(), 1);
    }

    #[test]
    fn a_panic_keeps_nobody_asleep() {
        let sleeper = Arc::new(Sleeper::default());
        let answer = || {
            wake(Arc::<Sleeper>::clone(&sleeper));
            panic!("on purpose");
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| together(answer)));
        assert!(panicked.is_err() && sleeper.times() == 1);
        wake(Arc::<Sleeper>::clone(&sleeper));
        assert_eq!(sleeper.times(), 2);
    }
}
