//! The memory of one runtime: counted, bounded, and released at once when the runtime can no longer be trusted.
//!
//! QuickJS asks for memory in places where it cannot fail (it aborts the process when an async function cannot be settled),
//! so going over the limit is *noted* first and small requests are served on from a reserve; the turn is stopped at the next
//! check. Large requests, which come from data and not from the interpreter, are refused at once.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ptr::{self, null_mut};
use std::rc::Rc;

use rquickjs::allocator::Allocator;

/// Beyond the limit, for the interpreter's own small needs until it is stopped.
const RESERVE_BYTES: usize = 32 << 20;
/// Above this a request is data.
const SMALL_BYTES: usize = 64 << 10;
/// QuickJS cuts small blocks out of pages of nearly this size, so nearly all of its memory is in them. A page has no header: with one it
/// would not fit into 4 KiB, and allocators give 5 KiB then. It is known by its address, and listed aside.
const PAGE_BYTES: usize = 4096;
/// What is smaller is no such page.
const PAGE_BYTES_MIN: usize = 3584;
/// Pages that are kept for the next turn: a runtime of few runs empties some at the end of each, and fills them again in the next.
const SPARE_PAGES_MAX: usize = 16;
/// Of all other blocks, so that what follows the header is never at the address of a page.
const ALIGN: usize = 64;

/// Before each block but the pages: its size, and its neighbours in the list of all of them.
#[repr(C, align(16))]
struct Header {
    bytes: usize,
    previous: *mut Header,
    next: *mut Header,
}

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES < ALIGN && PAGE_BYTES.is_multiple_of(ALIGN));

fn is_page_size(bytes: usize) -> bool {
    (PAGE_BYTES_MIN + 1..=PAGE_BYTES).contains(&bytes)
}

fn is_page(pointer: *mut u8) -> bool {
    pointer.addr().is_multiple_of(PAGE_BYTES)
}

const PAGE: Layout = match Layout::from_size_align(PAGE_BYTES, PAGE_BYTES) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

/// What the allocator and its owner share.
#[derive(Debug)]
pub struct Heap {
    live_bytes: Cell<usize>,
    limit_bytes: Cell<usize>,
    exceeded: Cell<bool>,
    first: Cell<*mut Header>,
    pages: RefCell<HashSet<*mut u8>>,
    spare: RefCell<Vec<*mut u8>>,
}

impl Heap {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            live_bytes: Cell::new(0),
            limit_bytes: Cell::new(usize::MAX - RESERVE_BYTES),
            exceeded: Cell::new(false),
            first: Cell::new(null_mut()),
            pages: RefCell::default(),
            spare: RefCell::default(),
        })
    }

    /// Bytes in use, headers excluded, pages whole.
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
        for page in self.pages.take().into_iter().chain(self.spare.take()) {
            // SAFETY: pages that were allocated and not yet given back.
            unsafe { dealloc(page, PAGE) };
        }
        self.live_bytes.set(0);
    }

    /// A page, when one more is admitted.
    fn page(&self) -> *mut u8 {
        if !self.admits(PAGE_BYTES) {
            return null_mut();
        }
        // SAFETY: the layout is not empty.
        let page = self.spare.borrow_mut().pop().unwrap_or_else(|| unsafe { alloc(PAGE) });
        if !page.is_null() {
            self.pages.borrow_mut().insert(page);
            self.live_bytes.set(self.live_bytes.get() + PAGE_BYTES);
        }
        page
    }

    /// # Safety
    /// A page of this heap, which nobody uses any more.
    unsafe fn free_page(&self, page: *mut u8) {
        self.pages.borrow_mut().remove(&page);
        self.live_bytes.set(self.live_bytes.get() - PAGE_BYTES);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_PAGES_MAX {
            spare.push(page);
        } else {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(page, PAGE) };
        }
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

impl Drop for Heap {
    fn drop(&mut self) {
        for page in self.spare.take() {
            // SAFETY: nobody uses it, and it was allocated with this layout.
            unsafe { dealloc(page, PAGE) };
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

// SAFETY: blocks come from the global allocator: pages, and blocks with a header before them that says their size; all are aligned to 16.
unsafe impl Allocator for CountingAllocator {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        if is_page_size(size) {
            return self.0.page();
        }
        match layout(size) {
            // SAFETY: the layout is not empty.
            Some(layout) if self.0.admits(size) => self.0.link(unsafe { alloc(layout) }.cast(), size),
            _ => null_mut(),
        }
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let Some(bytes) = count.checked_mul(size) else { return null_mut() };
        if is_page_size(bytes) {
            let page = self.0.page();
            if !page.is_null() {
                // SAFETY: it has so many bytes.
                unsafe { page.write_bytes(0, PAGE_BYTES) };
            }
            return page;
        }
        match layout(bytes) {
            // SAFETY: the layout is not empty.
            Some(layout) if self.0.admits(bytes) => self.0.link(unsafe { alloc_zeroed(layout) }.cast(), bytes),
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&mut self, pointer: *mut u8) {
        // SAFETY: the caller gives a block of this allocator.
        unsafe {
            if is_page(pointer) {
                return self.0.free_page(pointer);
            }
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
            let old_size = Self::usable_size(pointer);
            match (is_page(pointer), is_page_size(new_size)) {
                (true, true) => return pointer,
                (false, false) => {}
                // To a page or from one: it moves.
                _ => {
                    let moved = self.alloc(new_size);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(pointer, moved, old_size.min(new_size));
                        self.dealloc(pointer);
                    }
                    return moved;
                }
            }
            let block = header_of(pointer);
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
        if is_page(pointer) {
            return PAGE_BYTES;
        }
        // SAFETY: the caller gives a block of this allocator.
        unsafe { (*header_of(pointer)).bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_what_is_in_them_however_they_grow_and_all_is_given_back() {
        let heap = Heap::new();
        let mut allocator = CountingAllocator(heap.clone());
        let sizes = [1, 600, PAGE_BYTES_MIN, PAGE_BYTES_MIN + 1, PAGE_BYTES - 16, PAGE_BYTES, PAGE_BYTES + 1, 70_000];
        for from in sizes {
            for to in sizes {
                let block = allocator.alloc(from);
                assert_eq!(is_page(block), is_page_size(from), "{from}");
                // SAFETY: a block of this size, used by nobody else.
                unsafe {
                    block.write_bytes(7, from);
                    let moved = allocator.realloc(block, to);
                    assert!(CountingAllocator::usable_size(moved) >= to);
                    let kept = std::slice::from_raw_parts(moved, from.min(to));
                    assert!(kept.iter().all(|byte| *byte == 7), "{from} to {to}");
                    allocator.dealloc(moved);
                }
                assert_eq!(heap.live_bytes(), 0, "{from} to {to}");
            }
        }
        for size in sizes {
            let block = allocator.calloc(1, size);
            // SAFETY: as above.
            assert!(unsafe { std::slice::from_raw_parts(block, size) }.iter().all(|byte| *byte == 0));
        }
        // SAFETY: nobody uses the blocks.
        unsafe { heap.release_all() };
        assert_eq!(heap.live_bytes(), 0);
    }

    #[test]
    fn a_page_over_the_limit_is_noted_and_served_from_the_reserve() {
        let heap = Heap::new();
        let mut allocator = CountingAllocator(heap.clone());
        heap.set_limit(PAGE_BYTES);
        assert!(!allocator.alloc(PAGE_BYTES).is_null() && !heap.is_exceeded());
        assert!(!allocator.alloc(PAGE_BYTES).is_null() && heap.is_exceeded());
        // SAFETY: nobody uses the blocks.
        unsafe { heap.release_all() };
    }
}
