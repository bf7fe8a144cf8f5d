//! Requests full of unique transactions, written as JSON text directly.

/// Bytes around the payloads of a request.
const FRAME_BYTES: usize = 160;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes requests. A payload is this run's number, a counter, then random bytes: unique, and as
/// hard to compress as real data.
pub struct Payloads {
    rollup: String,
    size: usize,
    batch: usize,
    run: u64,
    counter: u64,
    state: u64,
}

impl Payloads {
    pub fn new(rollup: &str, size: usize, batch: usize, seed: u64) -> Self {
        let rollup = serde_json::to_string(rollup).expect("text has a JSON form");
        let mut this = Self { rollup, size, batch, run: 0, counter: 0, state: seed };
        this.run = this.random();
        this
    }

    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// The next JSON-RPC request.
    pub fn request(&mut self) -> Vec<u8> {
        let entry = self.rollup.len() + 2 * self.size + 32;
        let mut out = Vec::with_capacity(FRAME_BYTES + self.batch * entry);
        if self.batch == 1 {
            out.extend_from_slice(br#"{"jsonrpc":"2.0","id":1,"method":"baton_submit","params":"#);
            self.transaction(&mut out);
            out.push(b'}');
            return out;
        }
        out.extend_from_slice(
            br#"{"jsonrpc":"2.0","id":1,"method":"baton_submitBatch","params":{"transactions":["#,
        );
        for index in 0..self.batch {
            if index > 0 {
                out.push(b',');
            }
            self.transaction(&mut out);
        }
        out.extend_from_slice(b"]}}");
        out
    }

    fn transaction(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"rollup":"#);
        out.extend_from_slice(self.rollup.as_bytes());
        out.extend_from_slice(br#","data":"0x"#);
        self.counter += 1;
        let end = out.len() + 2 * self.size;
        push_hex(out, self.run);
        push_hex(out, self.counter);
        while out.len() < end {
            let random = self.random();
            push_hex(out, random);
        }
        out.truncate(end);
        out.extend_from_slice(br#""}"#);
    }

    /// SplitMix64.
    const fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    for byte in number.to_be_bytes() {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_types::api::{SubmitBatchParams, SubmitParams};
    use std::collections::BTreeSet;

    #[derive(serde::Deserialize)]
    struct Request<P> {
        params: P,
    }

    #[test]
    fn requests_are_what_the_api_takes_and_never_repeat() {
        let mut seen = BTreeSet::new();
        for size in [16, 17, 32, 200] {
            let mut payloads = Payloads::new("demo", size, 3, 7);
            for _ in 0..2 {
                let request: Request<SubmitBatchParams> =
                    serde_json::from_slice(&payloads.request()).unwrap();
                for transaction in request.params.transactions {
                    assert_eq!(transaction.data.0.len(), size);
                    assert!(seen.insert(transaction.data.0));
                }
            }
        }
        let mut single = Payloads::new("demo", 200, 1, 9);
        let request: Request<SubmitParams> = serde_json::from_slice(&single.request()).unwrap();
        assert_eq!(request.params.data.0.len(), 200);
    }
}
