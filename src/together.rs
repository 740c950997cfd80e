//! Answers that come together are handed over together: whoever waits for them on another thread is woken
//! once, and meets nobody at the lock.

use std::cell::RefCell;

/// Hands over what has been kept back on this thread.
pub(crate) type HandOver = Box<dyn FnOnce()>;

thread_local! {
    static OPEN: RefCell<Option<Vec<HandOver>>> = const { RefCell::new(None) };
}

/// What is answered within `answer` is handed over at its end.
pub(crate) fn together<T>(answer: impl FnOnce() -> T) -> T {
    let is_outermost = OPEN.with_borrow_mut(|open| {
        let is_outermost = open.is_none();
        open.get_or_insert_default();
        is_outermost
    });
    // Lazily: an `End` that is not wanted would hand over when it is dropped.
    let _end = is_outermost.then(|| End);
    answer()
}

/// Hands over, also if answering panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        for hand_over in OPEN.with_borrow_mut(Option::take).into_iter().flatten() {
            hand_over();
        }
    }
}

/// Has `hand_over` called at the end of what comes together on this thread; false if nothing does.
#[cfg_attr(not(feature = "node"), allow(dead_code))]
pub(crate) fn at_end(hand_over: impl FnOnce() + 'static) -> bool {
    OPEN.with_borrow_mut(|open| match open {
        Some(open) => {
            open.push(Box::new(hand_over));
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    fn counter() -> (Rc<Cell<usize>>, impl FnOnce() + Clone + 'static) {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        (count, move || counted.set(counted.get() + 1))
    }

    #[test]
    fn what_is_alone_is_handed_over_by_whoever_has_it() {
        let (count, hand_over) = counter();
        assert!(!at_end(hand_over));
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn what_comes_together_is_handed_over_at_the_end_of_the_outermost() {
        let (count, hand_over) = counter();
        together(|| {
            together(|| assert!(at_end(hand_over.clone())));
            assert!(at_end(hand_over));
            assert_eq!(count.get(), 0);
        });
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn a_panic_keeps_nothing_back() {
        let (count, hand_over) = counter();
        let answer = || {
            at_end(hand_over);
            panic!("on purpose");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| together(answer))).is_err());
        assert_eq!(count.get(), 1);
        assert!(!at_end(|| {}));
    }
}
