//! Secrets are gone from the heap once they are dropped. Runs alone in its process, on Linux.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

fn main() {
    #[cfg(target_os = "linux")]
    linux::secrets_are_wiped();
    #[cfg(not(target_os = "linux"))]
    eprintln!("skipped: the memory of a process is read on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, read_to_string};
    use std::os::unix::fs::FileExt;

    use synctable_encrypted::{Passphrase, RawKey, Sealed};
    use synctable_memory::MemoryBackend;
    use zeroize::Zeroizing;

    const MASK: u8 = 0xA5;

    /// A secret kept in a form that is not the secret.
    struct Masked(Vec<u8>);

    impl Masked {
        fn new(secret: &[u8]) -> Self {
            Self(secret.iter().map(|byte| byte ^ MASK).collect())
        }

        fn reveal(&self) -> Vec<u8> {
            let mut secret = Vec::with_capacity(self.0.len());
            secret.extend(self.0.iter().map(|byte| byte ^ MASK));
            secret
        }

        /// What is searched for: an allocator writes over the start of what is freed.
        fn end(&self) -> &[u8] {
            &self.0[self.0.len() / 2..]
        }

        fn is_at(&self, memory: &[u8]) -> bool {
            self.end()
                .iter()
                .zip(memory)
                .all(|(masked, byte)| masked ^ MASK == *byte)
        }
    }

    /// The heap of this process. Looking at it takes nothing from it, so that what was freed stays as it is.
    struct Heap {
        memory: File,
        start: u64,
        /// Large, and so outside of the heap.
        buffer: Vec<u8>,
    }

    impl Heap {
        fn new() -> Option<Self> {
            let maps = read_to_string("/proc/self/maps").unwrap();
            let heap = maps.lines().find(|line| line.ends_with("[heap]"))?;
            let (start, end) = heap.split_once(' ').unwrap().0.split_once('-').unwrap();
            let [start, end] = [start, end].map(|place| u64::from_str_radix(place, 16).unwrap());
            let buffer = vec![0; usize::try_from(end - start).unwrap()];
            assert!(
                buffer.len() >= 128 << 10,
                "the heap has {} bytes",
                buffer.len()
            );
            let memory = File::open("/proc/self/mem").unwrap();
            Some(Self {
                memory,
                start,
                buffer,
            })
        }

        /// How often `secret` is there.
        fn holds(&mut self, secret: &Masked) -> usize {
            self.memory
                .read_exact_at(&mut self.buffer, self.start)
                .unwrap();
            let places = self.buffer.windows(secret.end().len());
            let count = places.filter(|memory| secret.is_at(memory)).count();
            self.buffer.fill(0);
            count
        }
    }

    pub(super) fn secrets_are_wiped() {
        let Some(mut heap) = Heap::new() else {
            eprintln!("skipped: this process has no heap in one piece");
            return;
        };

        let key = RawKey::random().unwrap();
        let masked = Masked::new(key.as_bytes());
        assert_eq!(heap.holds(&masked), 1, "a key is in one place");
        let moved = Box::new(key);
        assert_eq!(heap.holds(&masked), 1, "a moved key is in one place");
        drop(moved);
        assert_eq!(heap.holds(&masked), 0, "a dropped key is wiped");

        let key = RawKey::random().unwrap();
        let digit = |half| char::from_digit(u32::from(half), 16).unwrap();
        let digits: String = key
            .as_bytes()
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        drop(key);
        let key = RawKey::parse(digits.as_bytes()).unwrap();
        let masked = Masked::new(key.as_bytes());
        assert_eq!(heap.holds(&masked), 1);
        drop(key);
        assert_eq!(heap.holds(&masked), 0, "a dropped key of digits is wiped");

        // The form that is kept has other bytes than the form that is given.
        let (given, kept) = (
            "ｐａｓｓｗｏｒｄ ｎｕｍｂｅｒ ｎｉｎｅ ｏｆ ｔｅｎ ｔｈｏｕｓａｎｄ",
            "password number nine of ten thousand",
        );
        let (given, kept) = (Masked::new(given.as_bytes()), Masked::new(kept.as_bytes()));
        let passphrase = Passphrase::new(String::from_utf8(given.reveal()).unwrap()).unwrap();
        assert_eq!(heap.holds(&kept), 1);
        assert_eq!(heap.holds(&given), 0, "the text that was given is wiped");
        drop(passphrase);
        assert_eq!(heap.holds(&kept), 0, "a dropped passphrase is wiped");

        // A store is open without the secret that opened it.
        let key = RawKey::random().unwrap();
        let masked = Masked::new(key.as_bytes());
        let engine = MemoryBackend::new();
        let made = Sealed::builder(engine.clone())
            .raw_key(key)
            .create(true)
            .open()
            .unwrap();
        assert_eq!(heap.holds(&masked), 0, "the key of a new store is wiped");
        drop(made);
        let again = RawKey::parse(&Zeroizing::new(masked.reveal())).unwrap();
        let opened = Sealed::builder(engine).raw_key(again).open().unwrap();
        assert!(opened.verify(None).unwrap().is_sound());
        assert_eq!(heap.holds(&masked), 0, "the key of an open store is wiped");
    }
}
