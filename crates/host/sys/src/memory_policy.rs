//! Where a process's memory comes from (`set_mempolicy(2)`).

use std::io;

/// Sets the calling process's memory policy: `MPOL_…` with its flags, and the nodes, bit n of word n / 64.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // The kernel reads one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let words = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the array has as many bits as said (or is null and has none) and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::c_long::from(mode), words, bits) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_not_there_are_refused() {
        set_memory_policy(0, &[]).unwrap();
        // Bind to the first node, which every machine has.
        set_memory_policy(2, &[1]).unwrap();
        assert_eq!(set_memory_policy(2, &[0]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        set_memory_policy(0, &[]).unwrap();
    }
}
