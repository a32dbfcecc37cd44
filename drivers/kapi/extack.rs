// SPDX-License-Identifier: GPL-2.0-only

//! Extended acknowledgements: the line of text that tells a user of netlink why a request was refused.

use kernel::{fmt, fmt::Write, prelude::*};
use oxnic_bindings as bindings;

/// Where the text of a refusal goes. Lives as long as the request.
#[repr(transparent)]
pub struct Extack(bindings::netlink_ext_ack);

impl Extack {
    /// The extack of a request, if user space is to see one.
    ///
    /// # Safety
    ///
    /// `raw` is null, or valid and not used by others for `'a`.
    pub unsafe fn from_raw<'a>(raw: *mut bindings::netlink_ext_ack) -> Option<&'a mut Self> {
        // SAFETY: By the caller's promise; the wrapper is transparent.
        unsafe { raw.cast::<Self>().as_mut() }
    }

    /// Says why; replaces what was said before. Too long a text is cut.
    pub fn set(&mut self, text: fmt::Arguments<'_>) {
        let mut out = Text {
            buffer: &mut self.0._msg_buf,
            length: 0,
        };
        // A text that is cut is an error to the formatter, and good enough for the user.
        let _ = out.write_fmt(text);
        let length = out.length;
        self.0._msg_buf[length] = 0;
        self.0._msg = self.0._msg_buf.as_ptr();
    }
}

/// Sets the text of a refusal where there is an extack, and gives the error to return.
pub fn refuse(extack: Option<&mut Extack>, error: Error, text: fmt::Arguments<'_>) -> Error {
    if let Some(extack) = extack {
        extack.set(text);
    }
    error
}

/// A buffer that text is appended to, with room left for a final zero.
struct Text<'a> {
    buffer: &'a mut [c_char],
    length: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.buffer.len().saturating_sub(self.length + 1);
        for (to, from) in self.buffer[self.length..]
            .iter_mut()
            .zip(text.bytes().take(room))
        {
            *to = from as c_char;
            self.length += 1;
        }
        if text.len() > room {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(CONFIG_KUNIT)]
#[kunit_tests(oxnic_kapi_extack)]
mod tests {
    use super::*;

    fn text(extack: &Extack) -> &[u8] {
        let bytes = &extack.0._msg_buf;
        let end = bytes.iter().position(|&c| c == 0).unwrap_or(bytes.len());
        // SAFETY: Characters are bytes.
        unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), end) }
    }

    fn empty() -> Extack {
        Extack(Default::default())
    }

    #[test]
    fn formatted_text_is_what_the_user_sees() {
        let mut extack = empty();
        extack.set(fmt!("VLAN {} is over {}", 4095, 4094));
        assert_eq!(text(&extack), b"VLAN 4095 is over 4094");
        assert!(extack.0._msg == extack.0._msg_buf.as_ptr());
    }

    #[test]
    fn a_second_text_replaces_the_first() {
        let mut extack = empty();
        extack.set(fmt!("something long"));
        extack.set(fmt!("short"));
        assert_eq!(text(&extack), b"short");
    }

    #[test]
    fn a_text_of_the_whole_buffer_fits_and_one_more_is_cut() {
        const TENS: &str = "----------";
        let mut extack = empty();
        assert_eq!(extack.0._msg_buf.len(), 80);
        extack.set(fmt!(
            "{TENS}{TENS}{TENS}{TENS}{TENS}{TENS}{TENS}{}",
            "12345678x"
        ));
        assert_eq!(text(&extack).len(), 79);
        assert_eq!(text(&extack).last(), Some(&b'x'));
        extack.set(fmt!(
            "{TENS}{TENS}{TENS}{TENS}{TENS}{TENS}{TENS}{}",
            "123456789x"
        ));
        assert_eq!(text(&extack).len(), 79);
        assert_eq!(text(&extack).last(), Some(&b'9'));
    }

    #[test]
    fn without_an_extack_the_error_is_all_there_is() {
        assert_eq!(refuse(None, EINVAL, fmt!("unseen")), EINVAL);
        let mut extack = empty();
        assert_eq!(
            refuse(Some(&mut extack), EOPNOTSUPP, fmt!("seen")),
            EOPNOTSUPP
        );
        assert_eq!(text(&extack), b"seen");
    }
}
