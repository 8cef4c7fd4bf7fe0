// The part of the pipelined client that does no I/O; the readers and writers
// of a runtime share it. One thread only.

use std::cell::RefCell;

use crate::measure::*;

/// Tells a connection's writer that there is something to write.
pub trait Wake {
    fn wake(&self);
}

struct State {
    random: Random,
    queues: Vec<Vec<u8>>,
    sent_ns: Vec<u64>,
}

pub struct Client<W> {
    state: RefCell<State>,
    pub writers: Vec<W>,
    frame: Vec<u8>,
}

impl<W: Wake> Client<W> {
    pub fn new(writers: Vec<W>, in_flight: usize, message: usize) -> Self {
        let state = State {
            random: Random::new(),
            queues: vec![Vec::new(); writers.len()],
            sent_ns: vec![0; in_flight],
        };
        Client { state: RefCell::new(state), writers, frame: frame(message) }
    }

    pub fn start(&self) {
        let in_flight = self.state.borrow().sent_ns.len();
        for stream in 0..in_flight {
            self.issue(stream);
        }
    }

    /// Takes what a connection has queued; `empty` becomes its next queue.
    pub fn take(&self, connection: usize, empty: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.state.borrow_mut().queues[connection], empty)
    }

    /// Completes the answers in `bytes`; how many bytes were whole frames.
    pub fn on_bytes(&self, bytes: &[u8], received: usize) -> usize {
        EVENTS.add(1);
        BYTES.add(received as u64);
        let message = self.frame.len();
        for frame in bytes.chunks_exact(message) {
            let stream = u16::from_be_bytes([frame[2], frame[3]]) as usize;
            if frame[0] != 4 {
                die("not an answer");
            }
            if stream % TIMED_EVERY == 0 {
                add_latency(now_ns() - self.state.borrow().sent_ns[stream]);
            }
            self.issue(stream);
        }
        bytes.len() / message * message
    }

    fn issue(&self, stream: usize) {
        let state = &mut *self.state.borrow_mut();
        if stream % TIMED_EVERY == 0 {
            state.sent_ns[stream] = now_ns();
        }
        let connection = state.random.below(self.writers.len());
        let queue = &mut state.queues[connection];
        let at = queue.len();
        queue.extend_from_slice(&self.frame);
        queue[at + 2..at + 4].copy_from_slice(&(stream as u16).to_be_bytes());
        if at == 0 {
            self.writers[connection].wake();
        }
    }
}
