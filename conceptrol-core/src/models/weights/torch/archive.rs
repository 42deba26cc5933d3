use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::{storages::Storages, zip};
use crate::models::weights::{
    checksum::Checksum,
    entry::Part,
    error::WeightError,
    file::WeightFile,
    pickle::{self, Heap, Value},
};

/// Larger than the pickle of any model: the values are in the other members.
const MAX_PICKLE: u64 = 64 << 20;
/// Longer than the name of any byte order.
const MAX_ORDER: u64 = 16;

/// Where the members of the archive lie in the file.
pub(super) struct Archive {
    file: Arc<WeightFile>,
    members: HashMap<String, Arc<Checksum>>,
    /// The folder all members are in, with the slash.
    root: String,
}

impl Archive {
    fn open(file: &Arc<WeightFile>) -> Result<Self, WeightError> {
        let mut roots = Vec::new();
        let mut members = HashMap::new();
        for member in zip::members(file)? {
            if let Some(root) = member.name.strip_suffix("data.pkl")
                && (root.is_empty() || root.ends_with('/'))
            {
                roots.push(root.to_owned());
            }
            let checksum = Checksum {
                what: member.name.clone(),
                offset: member.offset,
                len: member.len,
                expected: member.crc,
                found: OnceLock::new(),
            };
            members.insert(member.name, Arc::new(checksum));
        }
        let malformed = |reason: String| malformed(file, reason);
        let root = match &roots[..] {
            [root] => root.clone(),
            [] => {
                let reason = "a zip archive that torch.save did not write: it has no data.pkl";
                return Err(malformed(reason.to_owned()));
            }
            [first, second, ..] => {
                let reason =
                    format!("the archive has two pickles, {first}data.pkl and {second}data.pkl");
                return Err(malformed(reason));
            }
        };
        let archive = Self {
            file: Arc::clone(file),
            members,
            root,
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// The object of the archive and where its storages are.
    pub(super) fn open_all(file: &Arc<WeightFile>) -> Result<(Value, Heap, Storages), WeightError> {
        let archive = Self::open(file)?;
        let (object, heap) =
            pickle::run(&archive.pickle()?).map_err(|reason| archive.malformed(reason))?;
        Ok((object, heap, archive.storages()))
    }

    /// Every member that holds values, by its key.
    fn storages(&self) -> Storages {
        let folder = format!("{}data/", self.root);
        let parts = self.members.iter().filter_map(|(name, member)| {
            let part = Part {
                file: Arc::clone(&self.file),
                offset: member.offset,
                len: usize::try_from(member.len).ok()?,
                checksum: Some(Arc::clone(member)),
            };
            Some((name.strip_prefix(&folder)?.to_owned(), part))
        });
        Storages::new(&self.file, parts.collect())
    }

    fn pickle(&self) -> Result<Vec<u8>, WeightError> {
        self.read("data.pkl", MAX_PICKLE)
    }

    fn malformed(&self, reason: String) -> WeightError {
        malformed(&self.file, reason)
    }

    fn check_byte_order(&self) -> Result<(), WeightError> {
        // older files do not say
        if self.member("byteorder").is_some() && self.read("byteorder", MAX_ORDER)? != b"little" {
            let reason = "its numbers are big-endian; only little-endian files are read";
            return Err(self.malformed(reason.to_owned()));
        }
        Ok(())
    }

    /// The member `name` of the archive's one folder.
    fn member(&self, name: &str) -> Option<&Arc<Checksum>> {
        self.members.get(&format!("{}{name}", self.root))
    }

    /// A member's bytes, compared with their checksum.
    fn read(&self, name: &'static str, limit: u64) -> Result<Vec<u8>, WeightError> {
        let member = self.member(name);
        let member = member.ok_or_else(|| self.malformed(format!("the archive has no {name}")))?;
        if member.len > limit {
            return Err(WeightError::TooLarge {
                path: self.file.path().to_owned(),
                what: name,
                len: member.len,
                limit,
            });
        }
        member.verify(&self.file)?;
        self.file.read_vec(member.offset, member.len as usize)
    }
}

fn malformed(file: &WeightFile, reason: String) -> WeightError {
    WeightError::Malformed {
        path: file.path().to_owned(),
        reason,
    }
}
