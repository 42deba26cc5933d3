use std::collections::HashMap;

use super::{
    heap::Heap,
    value::{Global, Value},
};
use crate::models::weights::reader::Reader;

/// Runs the pickle and returns what it leaves, with everything it built.
pub(in crate::models::weights) fn run(pickle: &[u8]) -> Result<(Value, Heap), String> {
    let (value, heap, _) = run_first(pickle)?;
    Ok((value, heap))
}

/// As [`run`], and how many bytes the pickle has: others may follow it.
pub(in crate::models::weights) fn run_first(pickle: &[u8]) -> Result<(Value, Heap, usize), String> {
    let mut machine = Machine {
        reader: Reader::new(pickle),
        stack: Vec::new(),
        memo: HashMap::new(),
        heap: Heap::for_pickle(pickle.len()),
    };
    loop {
        let at = machine.reader.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => {
                let len = machine.reader.position();
                return Ok((value, machine.heap, len));
            }
            Err(reason) => return Err(format!("pickle byte {at}: {reason}")),
        }
    }
}

pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    pub(super) stack: Vec<Value>,
    memo: HashMap<usize, Value>,
    pub(super) heap: Heap,
}

impl Machine<'_> {
    /// Executes one instruction; the final one yields the result.
    fn step(&mut self) -> Result<Option<Value>, String> {
        match self.reader.byte()? {
            // Framing
            0x80 => self.protocol()?,
            0x95 => drop(self.reader.bytes(8)?),
            b'.' => return self.pop().map(Some),
            b'0' => drop(self.pop()?),
            // Atoms
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => self.int(1)?,
            b'M' => self.int_unsigned(2)?,
            b'J' => self.int(4)?,
            0x8a => self.long()?,
            b'G' => {
                self.reader.bytes(8)?;
                self.stack.push(Value::Float);
            }
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            // Containers
            b'(' => self.stack.push(Value::Mark),
            b')' => self.tuple(Vec::new())?,
            0x85 => self.short_tuple(1)?,
            0x86 => self.short_tuple(2)?,
            0x87 => self.short_tuple(3)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)?;
            }
            b']' => {
                let id = self.heap.push_tuple(Vec::new())?;
                self.stack.push(Value::List(id));
            }
            b'}' => self.dict()?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            // Memo
            b'q' => self.memoize(1)?,
            b'r' => self.memoize(4)?,
            0x94 => {
                self.remember(self.memo.len())?;
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            // Objects
            b'c' => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(&module, &name)?;
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            opcode => {
                return Err(format!(
                    "instruction {opcode:#04x} is not one of a tensor file"
                ));
            }
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.reader.byte()? {
            2..=5 => Ok(()),
            version => Err(format!("protocol {version} is not supported (2 to 5 are)")),
        }
    }

    fn int(&mut self, bytes: usize) -> Result<(), String> {
        // One byte is unsigned in this format, four are signed.
        match bytes {
            1 => self.int_unsigned(1),
            _ => {
                let number = self.reader.signed(bytes)?;
                self.stack.push(Value::Int(number));
                Ok(())
            }
        }
    }

    fn int_unsigned(&mut self, bytes: usize) -> Result<(), String> {
        let number = self.reader.unsigned(bytes)?;
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    fn long(&mut self) -> Result<(), String> {
        let bytes = usize::from(self.reader.byte()?);
        if bytes > 8 {
            return Err(format!("an integer of {bytes} bytes exceeds 8"));
        }
        let number = self.reader.signed(bytes)?;
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = self.reader.length(length_bytes)?;
        let text = self.reader.text(length)?.to_owned();
        let id = self.heap.push_text(text)?;
        self.stack.push(Value::Text(id));
        Ok(())
    }

    fn tuple(&mut self, items: Vec<Value>) -> Result<(), String> {
        let id = self.heap.push_tuple(items)?;
        self.stack.push(Value::Tuple(id));
        Ok(())
    }

    fn short_tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.tuple(items)
    }

    pub(super) fn dict(&mut self) -> Result<(), String> {
        let id = self.heap.push_dict()?;
        self.stack.push(Value::Dict(id));
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top()? {
            Value::List(id) => self.heap.append(id, items),
            other => Err(format!("cannot append to {other:?}")),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), String> {
        let Value::Dict(id) = self.top()? else {
            return Err("cannot set an item of something that is no dictionary".to_owned());
        };
        let pairs = items.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err("a key without a value".to_owned());
        }
        self.heap
            .set_items(id, pairs.map(|pair| (pair[0], pair[1])))
    }

    fn memoize(&mut self, bytes: usize) -> Result<(), String> {
        let index = self.reader.length(bytes)?;
        self.remember(index)
    }

    fn remember(&mut self, index: usize) -> Result<(), String> {
        self.heap.spend(size_of::<(usize, Value)>())?;
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Result<(), String> {
        let index = self.reader.length(bytes)?;
        let value = self.memo.get(&index);
        self.stack
            .push(*value.ok_or_else(|| format!("memo {index} was never set"))?);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = Global::find(module, name)
            .ok_or_else(|| format!("{module}.{name} has no place in a tensor file"))?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn pop_text(&mut self) -> Result<String, String> {
        match self.pop()? {
            Value::Text(id) => Ok(self.heap.text(id).to_owned()),
            other => Err(format!("{other:?} is not text")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark);
        let items = self.stack.split_off(mark.ok_or("no mark on the stack")?);
        Ok(items[1..].to_vec())
    }

    pub(super) fn top(&self) -> Result<Value, String> {
        match self.stack.last() {
            Some(Value::Mark) | None => Err("nothing on the stack".to_owned()),
            Some(value) => Ok(*value),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Value, String> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }
}
