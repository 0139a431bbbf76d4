//! A web server on a thread, which keeps what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server of this machine.
pub struct Web {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is answered with 200 and the text `thanks`.
    Answers,
    /// It is never answered.
    Hangs,
    /// It is answered with 200 and a body of this many bytes.
    Body(usize),
    /// It is answered with 200 and this many headers.
    Headers(usize),
    /// The first is answered with the first of these, and so on; the rest with the last.
    /// Whole answers, as they go over the wire.
    Says(&'static [&'static str]),
}

impl Web {
    /// Listens on a port of its own.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let notes = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let notes = Arc::clone(&notes);
                // A client that hangs up, or never asks, is none of the others'.
                std::thread::spawn(move || stream.map(|stream| serve(stream, &notes, manner)));
            }
        });
        Self { address, seen }
    }

    /// `http://127.0.0.1:…`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("the notes").clone()
    }
}

fn serve(mut stream: TcpStream, notes: &Mutex<Vec<String>>, manner: Manner) {
    let Some(request) = read(&mut stream) else {
        return;
    };
    let nth = {
        let mut notes = notes.lock().expect("the notes");
        notes.push(request);
        notes.len() - 1
    };
    match manner {
        Manner::Answers => {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks";
            drop(stream.write_all(answer));
        }
        Manner::Body(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            let answer = [head.into_bytes(), vec![b'x'; bytes]].concat();
            drop(stream.write_all(&answer));
        }
        Manner::Headers(count) => {
            let headers = "x-a: b\r\n".repeat(count);
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()));
        }
        Manner::Says(answers) => {
            let answer = answers.get(nth).or(answers.last());
            let answer = answer.expect("an answer").as_bytes();
            drop(stream.write_all(answer));
        }
        // Until the client has had enough.
        Manner::Hangs => while matches!(stream.read(&mut [0; 64]), Ok(1..)) {},
    }
}

/// Head and body, by its length.
fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
