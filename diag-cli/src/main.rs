//! osdiag: answers where the time of a guest's file I/O goes.

mod ebpf;
mod exit;
mod kernel;
mod output;
mod tools;

fn main() {
    let kernel = ebpf::object::Kernel::read(None).unwrap();
    let r = tools::iolat::attach::attach(&kernel, Default::default(), 10);
    match r {
        Ok((o, a)) => {
            println!("{:?} {:?}", o.hooks, o.fallback);
            println!("{:#?}", a.unavailable);
            std::thread::sleep_ms(2000);
            for (n, p) in o.ebpf.programs() {
                if let Ok(i) = p.info() {
                    println!("{n} {:?}", i.verified_instruction_count());
                }
            }
        }
        Err(e) => println!("{e:#}"),
    }
}
