//! Giving back memory while a program waits: that of its own code and constants, and what its allocator keeps.

use std::ffi::{c_int, c_void};

/// Lets go of all pages of the program that come from its file unchanged: code and constants.
///
/// They come back from the page cache when they are next touched, some at a time; a process that waits for hours
/// then counts with the few that its loop needs.
pub fn forget_program_pages() {
    // SAFETY: `forget` has the type that dl_iterate_phdr wants and ignores the data pointer.
    unsafe {
        libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut());
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

unsafe extern "C" fn forget(info: *mut libc::dl_phdr_info, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr passes a valid record, whose headers are valid as long as the object is loaded.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
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
            // SAFETY: the range is a read-only, private mapping of the program's file: its pages are the file's, and
            // reading them again gives the same bytes.
            unsafe {
                libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
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
        assert_eq!("constants".len() + std::hint::black_box(1), 10);
    }
}
