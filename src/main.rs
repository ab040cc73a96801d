//! The `everloop` program. Everything is in the library; see `everloop::cli`.

fn main() -> std::process::ExitCode {
    everloop::cli::main()
}
