//! Giving back memory while a program waits: that of its own code and constants, and what its allocator keeps.

use std::ffi::{c_int, c_void};

use rustix::event::{PollFd, poll};
use rustix::mm::{Advice, madvise};

/// Lets go of all pages of the program that come from its file unchanged: code and constants.
///
/// They come back from the page cache when they are next touched, 64 KiB at a time, or as many as the cache has in one
/// piece; a process that waits for hours then counts with the few that its loop needs.
pub fn forget_program_pages() {
    forget(&unchanged());
}

/// As [`forget_program_pages`], and polls for as long as it takes: what comes back is what stands around this function.
pub fn forget_and_poll(descriptors: &mut [PollFd<'_>]) -> rustix::io::Result<usize> {
    let ranges = unchanged();
    // Little is touched from here on, and that stays.
    forget(&ranges);
    poll(descriptors, None)
}

/// Starts and lengths.
type Ranges = Vec<(usize, usize)>;

#[inline(always)]
fn forget(ranges: &Ranges) {
    for (start, length) in ranges {
        // SAFETY: the range is a read-only, private mapping of the program's file: its pages are the file's, and
        // reading them again gives the same bytes.
        let _ = unsafe { madvise(*start as *mut c_void, *length, Advice::LinuxDontNeed) };
    }
}

/// Gives the kernel back what the C library's allocator keeps for later.
pub fn trim_heap() {
    // musl's keeps next to nothing.
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn unchanged() -> Ranges {
    let mut ranges = Ranges::new();
    // SAFETY: `find` has the type that dl_iterate_phdr wants, and gets the one thing it writes to.
    unsafe {
        libc::dl_iterate_phdr(Some(find), (&raw mut ranges).cast());
    }
    ranges
}

unsafe extern "C" fn find(info: *mut libc::dl_phdr_info, _size: usize, ranges: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr passes a valid record, whose headers are valid as long as the object is loaded, and the
    // caller's pointer, which nobody else uses meanwhile.
    let (base, headers, ranges) = unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (info.dlpi_addr as usize, headers, &mut *ranges.cast::<Ranges>())
    };
    let page = rustix::param::page_size();
    for header in headers {
        // A writable segment, or one with relocations in it, is not what the file has.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + header.p_vaddr as usize) & !(page - 1);
        let end = (base + header.p_vaddr as usize + header.p_memsz as usize) & !(page - 1);
        if end > start {
            ranges.push((start, end - start));
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    #[test]
    fn freed_memory_is_given_back() {
        let resident = || {
            let fields = std::fs::read_to_string("/proc/self/statm").unwrap();
            fields.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
        };
        let mut blocks: Vec<Box<[u8]>> = (0..16 << 10).map(|_| vec![1; 1 << 10].into_boxed_slice()).collect();
        // What stays is in use at the end, so that the allocator alone does not shrink.
        let last = blocks.pop();
        drop(blocks);
        let before = resident();
        super::trim_heap();
        if cfg!(target_env = "gnu") {
            assert!(resident() + (8 << 20) < before, "{before} before, {} after", resident());
        }
        drop(last);
    }

    #[test]
    fn the_program_goes_on_after_it() {
        super::forget_program_pages();
        let (theirs, ours) = rustix::pipe::pipe().unwrap();
        drop(ours);
        let end = theirs.as_fd();
        let mut polled = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
        assert_eq!(super::forget_and_poll(&mut polled), Ok(1));
        assert_eq!("constants".len() + std::hint::black_box(1), 10);
    }
}
