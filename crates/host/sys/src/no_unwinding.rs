//! What the standard library asks of an unwinder, in programs that never unwind (`panic = "abort"`).
//!
//! The standard library refers to the unwinder for the backtrace of a panic message alone, and a stripped program has
//! no names to show there. It costs a quarter of the static runtime: the unwinder itself, and a reader of debug
//! information behind it. With these in its place the linker leaves all of that out, for no frame is ever visited.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

macro_rules! nothing {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty = $value:expr)?;)*) => {$(
        // SAFETY: the name is that of the unwinder's function, which has this signature and may answer so; there is no
        // other in a program of this kind.
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $type),*) $(-> $result)? {
            $($value)?
        }
    )*};
}

nothing! {
    _Unwind_Backtrace(visit: *const c_void, argument: *mut c_void) -> c_int = END_OF_STACK;
    _Unwind_GetIP(context: *mut c_void) -> usize = 0;
    _Unwind_GetIPInfo(context: *mut c_void, before: *mut c_int) -> usize = 0;
    _Unwind_GetCFA(context: *mut c_void) -> usize = 0;
    _Unwind_GetRegionStart(context: *mut c_void) -> usize = 0;
    _Unwind_GetTextRelBase(context: *mut c_void) -> usize = 0;
    _Unwind_GetDataRelBase(context: *mut c_void) -> usize = 0;
    _Unwind_GetLanguageSpecificData(context: *mut c_void) -> *mut c_void = std::ptr::null_mut();
    _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void = std::ptr::null_mut();
    _Unwind_SetGR(context: *mut c_void, register: c_int, value: usize);
    _Unwind_SetIP(context: *mut c_void, value: usize);
    _Unwind_DeleteException(exception: *mut c_void);
    _Unwind_RaiseException(exception: *mut c_void) -> c_int = END_OF_STACK;
    _Unwind_Resume(exception: *mut c_void) -> ! = std::process::abort();
}
