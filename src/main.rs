//! The `everloop` program. Everything is in the library; see `everloop::cli`.

/// Requests are made of many small allocations; the C library's allocator took a tenth of a run's CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    everloop::cli::main()
}
