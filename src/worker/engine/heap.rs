//! The memory of one runtime: counted, bounded, and released at once when the runtime can no longer be trusted.
//!
//! QuickJS asks for memory in places where it cannot fail (it aborts the process when an async function cannot be settled),
//! so going over the limit is *noted* first and small requests are served on from a reserve; the turn is stopped at the next
//! check. Large requests, which come from data and not from the interpreter, are refused at once.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::Cell;
use std::ptr::{self, null_mut};
use std::rc::Rc;

use rquickjs::allocator::Allocator;

/// Beyond the limit, for the interpreter's own small needs until it is stopped.
const RESERVE_BYTES: usize = 32 << 20;
/// Above this a request is data.
const SMALL_BYTES: usize = 64 << 10;
const ALIGN: usize = 16;

/// Before each block: its size, and its neighbours in the list of all blocks.
#[repr(C, align(16))]
struct Header {
    bytes: usize,
    previous: *mut Header,
    next: *mut Header,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// What the allocator and its owner share.
#[derive(Debug)]
pub struct Heap {
    live_bytes: Cell<usize>,
    limit_bytes: Cell<usize>,
    exceeded: Cell<bool>,
    first: Cell<*mut Header>,
}

impl Heap {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            live_bytes: Cell::new(0),
            limit_bytes: Cell::new(usize::MAX - RESERVE_BYTES),
            exceeded: Cell::new(false),
            first: Cell::new(null_mut()),
        })
    }

    /// Bytes in use, headers excluded.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes.get()
    }

    /// From now on at most so many bytes in all; forgets that a limit was exceeded.
    pub fn set_limit(&self, bytes: usize) {
        self.limit_bytes.set(bytes.min(usize::MAX - RESERVE_BYTES));
        self.exceeded.set(false);
    }

    /// Whether more was asked for than the limit.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// Whether a request that adds so many bytes is served.
    fn admits(&self, more: usize) -> bool {
        let wanted = self.live_bytes.get().saturating_add(more);
        if wanted <= self.limit_bytes.get() {
            return true;
        }
        self.exceeded.set(true);
        more <= SMALL_BYTES && wanted <= self.limit_bytes.get() + RESERVE_BYTES
    }

    /// Gives every block back.
    ///
    /// # Safety
    /// Nothing may use the runtime of this heap any more, not even to drop it.
    pub unsafe fn release_all(&self) {
        let mut block = self.first.replace(null_mut());
        while !block.is_null() {
            // SAFETY: the list holds exactly the blocks that were allocated with `layout` and not yet given back.
            unsafe {
                let next = (*block).next;
                dealloc(block.cast(), layout((*block).bytes).unwrap_unchecked());
                block = next;
            }
        }
        self.live_bytes.set(0);
    }

    fn link(&self, block: *mut Header, bytes: usize) -> *mut u8 {
        if block.is_null() {
            return null_mut();
        }
        let next = self.first.replace(block);
        // SAFETY: `block` is a fresh block with room for a header, `next` is null or a block of the list.
        unsafe {
            block.write(Header { bytes, previous: null_mut(), next });
            if !next.is_null() {
                (*next).previous = block;
            }
            self.live_bytes.set(self.live_bytes.get() + bytes);
            block.cast::<u8>().add(HEADER_BYTES)
        }
    }

    fn unlink(&self, block: *mut Header) {
        // SAFETY: `block` is in the list, so its neighbours are null or in it too.
        unsafe {
            let Header { bytes, previous, next } = ptr::read(block);
            if previous.is_null() {
                self.first.set(next);
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            self.live_bytes.set(self.live_bytes.get() - bytes);
        }
    }
}

/// The allocator that QuickJS is given.
pub struct CountingAllocator(pub Rc<Heap>);

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEADER_BYTES)?, ALIGN).ok()
}

/// The header of a block.
///
/// # Safety
/// `pointer` is a block of this allocator.
unsafe fn header_of(pointer: *mut u8) -> *mut Header {
    // SAFETY: a header stands before each block.
    unsafe { pointer.sub(HEADER_BYTES).cast() }
}

// SAFETY: blocks come from the global allocator with a header before them that says their size; all are aligned to 16.
unsafe impl Allocator for CountingAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        match layout(size) {
            // SAFETY: the layout is not empty.
            Some(layout) if self.0.admits(size) => self.0.link(unsafe { alloc(layout) }.cast(), size),
            _ => null_mut(),
        }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let Some(bytes) = count.checked_mul(size) else { return null_mut() };
        match layout(bytes) {
            // SAFETY: the layout is not empty.
            Some(layout) if self.0.admits(bytes) => self.0.link(unsafe { alloc_zeroed(layout) }.cast(), bytes),
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&mut self, pointer: *mut u8) {
        // SAFETY: the caller gives a block of this allocator.
        unsafe {
            let block = header_of(pointer);
            self.0.unlink(block);
            dealloc(block.cast(), layout((*block).bytes).unwrap_unchecked());
        }
    }

    unsafe fn realloc(&mut self, pointer: *mut u8, new_size: usize) -> *mut u8 {
        if pointer.is_null() {
            return self.alloc(new_size);
        }
        // SAFETY: the caller gives a block of this allocator; when it cannot grow it stays as it was, and in the list.
        unsafe {
            let block = header_of(pointer);
            let old_size = (*block).bytes;
            let Some(new_layout) = layout(new_size) else { return null_mut() };
            if new_size > old_size && !self.0.admits(new_size - old_size) {
                return null_mut();
            }
            self.0.unlink(block);
            let moved = realloc(block.cast(), layout(old_size).unwrap_unchecked(), new_layout.size());
            if moved.is_null() {
                self.0.link(block, old_size);
                return null_mut();
            }
            self.0.link(moved.cast(), new_size)
        }
    }

    unsafe fn usable_size(pointer: *mut u8) -> usize {
        // SAFETY: the caller gives a block of this allocator.
        unsafe { (*header_of(pointer)).bytes }
    }
}
