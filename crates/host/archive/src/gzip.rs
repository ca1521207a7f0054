//! Compressing a layer with all processors.
//!
//! The stream is one gzip member (RFC 1952) of blocks that are deflated by themselves, each ended on a byte boundary:
//! they can be made at once, and every decoder reads them as any other. The bytes depend on nothing but the input.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// What is deflated by itself. A deflate window is 32 KiB: little is lost at a block's start.
const BLOCK: usize = 1 << 20;
const LEVEL: u32 = 5;
/// Magic, deflate, no flags, no time, no hint, unknown system: the same wherever it is made.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block: empty, of the fixed code.
const END: [u8; 2] = [3, 0];

type Deflated = io::Result<(Vec<u8>, Crc)>;
type Job = (Vec<u8>, SyncSender<Deflated>);

/// Reads `from` to its end and gives its gzip to `to`, piece by piece, working in `threads` threads.
pub fn gzip(
    from: &mut dyn Read,
    threads: usize,
    to: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    gzip_at(LEVEL, from, threads, to)
}

/// The same at another level, from 0 (fast) to 9 (small).
pub fn gzip_at(
    level: u32,
    from: &mut dyn Read,
    threads: usize,
    to: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let level = level.min(9);
    let (jobs, queue) = sync_channel::<Job>(threads.max(1));
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            std::thread::Builder::new().name("deflate".into()).spawn_scoped(scope, || work(&queue, level))?;
        }
        feed(from, threads.max(1) * 2, jobs, to)
    })
}

// Dropping `jobs` ends the workers.
fn feed(
    from: &mut dyn Read,
    ahead: usize,
    jobs: SyncSender<Job>,
    to: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    to(HEADER.to_vec())?;
    let mut sum = Crc::new();
    let mut pending: VecDeque<Receiver<Deflated>> = VecDeque::new();
    let mut more = true;
    while more || !pending.is_empty() {
        if more && pending.len() < ahead {
            let mut block = Vec::with_capacity(BLOCK);
            from.take(BLOCK as u64).read_to_end(&mut block)?;
            more = block.len() == BLOCK;
            let (done, wait) = sync_channel(1);
            jobs.send((block, done)).map_err(|_| io::Error::other("the deflating threads ended"))?;
            pending.push_back(wait);
            continue;
        }
        let Some(wait) = pending.pop_front() else { break };
        let (deflated, own) = wait.recv().map_err(|_| io::Error::other("a deflating thread ended"))??;
        sum.combine(&own);
        to(deflated)?;
    }
    let mut end = END.to_vec();
    end.extend_from_slice(&sum.sum().to_le_bytes());
    end.extend_from_slice(&sum.amount().to_le_bytes());
    to(end)
}

fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    let mut compress = Compress::new(Compression::new(level), false);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, done)) = job else { return };
        // Nobody waits for it any more: the next job says so too.
        let _ = done.send(deflate(&mut compress, &block));
    }
}

fn deflate(compress: &mut Compress, block: &[u8]) -> Deflated {
    compress.reset();
    // Deflate grows what it can't shrink by five bytes in 16 KiB, and the flush ends with five more.
    let mut out = Vec::with_capacity(block.len() + block.len() / 1000 + 64);
    loop {
        let read = compress.total_in() as usize;
        let full = out.len() == out.capacity();
        if full {
            out.reserve(BLOCK / 4);
        }
        let before = out.len();
        let status = compress
            .compress_vec(&block[read..], &mut out, FlushCompress::Full)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let all_read = compress.total_in() as usize == block.len();
        // There is room left: the flush is written whole.
        if all_read && (out.len() < out.capacity() || (status == Status::BufError && out.len() == before)) {
            break;
        }
    }
    let mut sum = Crc::new();
    sum.update(block);
    Ok((out, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::MultiGzDecoder;

    fn packed(data: &[u8], threads: usize) -> Vec<u8> {
        let mut out = Vec::new();
        gzip(&mut &data[..], threads, &mut |piece| {
            out.extend_from_slice(&piece);
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn every_decoder_reads_it_and_threads_do_not_show() {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let random: Vec<u8> = (0..3 * BLOCK + 17).map(|_| noise()).collect();
        let text = b"some words, again and again, and a number 123456\n".repeat(60_000);
        for data in [&b""[..], b"a", &text, &random, &text[..BLOCK], &random[..2 * BLOCK]] {
            let one = packed(data, 1);
            assert_eq!(one, packed(data, 3));
            let mut out = Vec::new();
            MultiGzDecoder::new(&one[..]).read_to_end(&mut out).unwrap();
            assert!(out == data, "{} bytes", data.len());
        }
        assert!(packed(&text, 2).len() < text.len() / 10);
        // And gzip(1), which is another implementation.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.gz");
        std::fs::write(&path, packed(&random, 2)).unwrap();
        let output = std::process::Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
        assert!(output.status.success() && output.stdout == random);
    }

    #[test]
    fn a_receiver_that_fails_ends_it() {
        let data = vec![0; 20 * BLOCK];
        let mut left = 3;
        let ended = gzip(&mut &data[..], 2, &mut |_| {
            left -= 1;
            if left == 0 { Err(io::Error::other("full")) } else { Ok(()) }
        });
        assert_eq!(ended.unwrap_err().to_string(), "full");
    }
}
