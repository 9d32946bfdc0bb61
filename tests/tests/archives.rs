//! DAGs that nodes hand each other as CAR files; what Kubo makes of ours and we of its, and what both say of the same
//! content. What needs a Kubo is skipped where there is none.

use std::fs;
use std::path::Path;

use cidra_tests::suite::MIB;
use cidra_tests::{Kubo, Repository, Suite, sample};

#[test]
fn an_export_fetches_what_is_missing_or_fails() {
    let (here, there) = (Repository::new(), Repository::new());
    let folder = there.file("folder");
    sample::folder(&folder, 20, 5);
    sample::file(&folder.join("large.bin"), 5 * MIB, 6);
    let root = there.add(&folder);
    let (theirs, ours) = (here.file("theirs.car"), here.file("ours.car"));
    there.cidra(["dag", "export", &root]).output_to(&theirs).run().success();
    here.cidra(["dag", "export", "--offline", &root]).output_to(&ours).run().exits(3);
    let daemon = there.daemon(&[]);

    let export = here.cidra(["dag", "export", &root, "--peer", daemon.address(), "--bootstrap=none", "--no-mdns"]);
    export.args(["--listen", "/ip4/127.0.0.1/tcp/0"]).output_to(&ours).run().success();

    sample::assert_same(&theirs, &ours);
    daemon.stop();
}

/// The file is read once and never held; a second import finds all blocks there and writes none.
#[test]
fn archives_of_any_size_take_little_memory() {
    let (here, there) = (Repository::new(), Repository::new());
    let (file, car) = (here.file("file"), here.file("file.car"));
    sample::file(&file, Suite::chosen().of(96, 1024, 4096) * MIB, 1);
    let root = here.add(&file);

    let export = here.cidra(["dag", "export", &root]).output_to(&car).run().success();
    let import = there.cidra(["dag", "import", "--stats"]).arg(&car).run().success();
    let count = || there.cidra(["repo", "stat"]).run().success().lines()[0].to_owned();
    let imported = count();
    let again = there.cidra(["dag", "import", "--stats"]).arg(&car).run().success();

    for (what, done) in [("export", &export), ("import", &import), ("import again", &again)] {
        let (time, peak) = (done.elapsed.as_secs_f64(), done.peak_memory as f64 / 1e6);
        println!("{what}: {time:.2} s, {peak:.1} MB");
        assert!(done.peak_memory < 150_000_000, "{what} took {peak:.1} MB");
    }
    assert_eq!(import.text(), again.text());
    assert_eq!(count(), imported);
}

#[test]
fn what_either_exports_the_other_imports_byte_for_byte() {
    let Some(kubo) = Kubo::start(None) else { return };
    let here = Repository::new();
    let folder = here.file("folder");
    sample::folder(&folder, Suite::chosen().of(30, 120, 400), 7);
    sample::file(&folder.join("large.bin"), Suite::chosen().of(3, 20, 200) << 20, 8);
    let wide = here.file("wide");
    many_long_names(&wide);
    let mut roots = vec![
        kubo.add(&["--cid-version=0"], &folder),
        kubo.add(&["--cid-version=1", "--raw-leaves"], &folder),
        kubo.add(&["--cid-version=0"], &wide),
        here.add(&folder),
        here.add(&wide),
    ];
    let theirs = 3;
    let links: Vec<String> = roots[..theirs].iter().map(|root| format!("{{\"/\":\"{root}\"}}")).collect();
    let node = format!("{{\"all\":[{}],\"none\":null,\"bytes\":{{\"/\":{{\"bytes\":\"AQID\"}}}}}}", links.join(","));
    roots.insert(0, kubo.ipfs(["dag", "put"]).input(node.clone()).run().success().text().to_owned());

    for (place, root) in roots.iter().enumerate() {
        let (first, second) = (here.file(&format!("{place}-first.car")), here.file(&format!("{place}-second.car")));
        let by_kubo = |out: &Path| kubo.ipfs(["dag", "export", root]).output_to(out).run().success();
        let by_us = |out: &Path| here.cidra(["dag", "export", "--offline", root]).output_to(out).run().success();
        if place <= theirs {
            by_kubo(&first);
            let said = here.cidra("dag import".split(' ')).arg(&first).run().success();
            assert_eq!(said.text(), format!("Pinned root\t{root}\tsuccess"));
            by_us(&second);
        } else {
            by_us(&first);
            let said = kubo.ipfs(["dag", "import"]).arg(&first).run().success();
            assert_eq!(said.text(), format!("Pinned root\t{root}\tsuccess"));
            by_kubo(&second);
        }
        sample::assert_same(&first, &second);
    }
    let copy = here.file("copy");
    here.cidra(["get", "--offline", &roots[1], "-o"]).arg(&copy).run().success();
    sample::assert_same(&folder, &copy);
    kubo.ipfs(["get", &roots[theirs + 1], "-o"]).arg(here.file("back")).run().success();
    sample::assert_same(&folder, &here.file("back"));
    kubo.stop();
}

/// What is printed for the same question, on the same content.
#[test]
fn both_say_the_same_of_nodes_paths_and_links() {
    let Some(kubo) = Kubo::start(None) else { return };
    let here = Repository::new();
    let folder = here.file("folder");
    fs::create_dir_all(folder.join("sub")).expect("the test's own folder");
    fs::write(folder.join("a.txt"), "hi\n").expect("the test's own folder");
    fs::write(folder.join("sub/y"), "x\n").expect("the test's own folder");
    sample::file(&folder.join("big.bin"), 600_000, 9);
    let wide = here.file("wide");
    many_long_names(&wide);
    let (dir, wide) = (kubo.add(&[], &folder), kubo.add(&[], &wide));
    let text = format!(
        "{{\"a\":{{\"b\":[1,{{\"/\":\"{dir}\"}},{{\"x\":\"é\"}}]}},\"n\":null,\"longer\":-7,\"wide\":{{\"/\":\"{wide}\"}},\"f\":1.5}}"
    );
    let node = kubo.ipfs(["dag", "put"]).input(text.clone()).run().success().text().to_owned();
    assert_eq!(here.cidra(["dag", "put"]).input(text.clone()).run().success().text(), node);
    let car = here.file("all.car");
    kubo.ipfs(["dag", "export", &node]).output_to(&car).run().success();
    here.cidra(["dag", "import", "--silent"]).arg(&car).run().success();

    for flags in [
        &["--store-codec=dag-json"][..],
        &["--hash=blake3"],
        &["--hash=sha3-512"],
        &["--hash=blake2b-256"],
        &["--hash=keccak-256"],
        &["--hash=sha1"],
        &["--hash=dbl-sha2-256"],
        &["--hash=shake-256"],
    ] {
        let put = |call: cidra_tests::Call| call.args(flags).input(text.clone()).run().success().text().to_owned();
        assert_eq!(put(kubo.ipfs(["dag", "put"])), put(here.cidra(["dag", "put"])), "{flags:?}");
    }
    let entry = format!("{wide}/{}", long_name(77));
    let (key, leaf) = (format!("{node}/a/b/2/x"), format!("/ipld/{dir}/Links/0/Hash"));
    let (below, list) = (format!("{node}/a/b/1/a.txt"), format!("{node}/a/b"));
    let same: &[&[&str]] = &[
        &["dag", "get", &node],
        &["dag", "get", &dir],
        &["dag", "get", &wide],
        &["dag", "get", &entry],
        &["dag", "get", &key],
        &["dag", "get", &leaf],
        &["dag", "get", &below],
        &["dag", "get", "--output-codec=dag-cbor", &dir],
        &["dag", "get", "--output-codec=dag-pb", &dir],
        &["dag", "resolve", &key],
        &["dag", "resolve", &below],
        &["dag", "resolve", &entry],
        &["dag", "resolve", &dir],
        &["resolve", &key],
        &["resolve", &list],
        &["resolve", &below],
        &["resolve", &entry],
        &["refs", &node],
        &["refs", &list],
        &["refs", "-r", &dir],
        &["refs", "-r", "-u", &node],
        &["refs", "-e", &dir],
        &["refs", "-r", "--max-depth=2", &node],
        &["refs", "-r", "--format=<src> <dst> <linkname>", &dir],
        &["dag", "stat", "--progress=false", &node],
        &["dag", "stat", "--progress=false", &node, &dir, &wide],
    ];
    for arguments in same {
        let theirs = kubo.ipfs(*arguments).run().success();
        let ours = here.cidra(*arguments).arg("--offline").run().success();
        assert_eq!(ours.stdout.trim_ascii(), theirs.stdout.trim_ascii(), "{arguments:?}");
    }
    let (missing, scalar) = (format!("{node}/a/z"), format!("{node}/n/x"));
    for arguments in [["dag", "get", &missing], ["dag", "get", &scalar], ["dag", "resolve", &missing]] {
        assert_eq!(kubo.ipfs(arguments).run().code, Some(1));
        here.cidra(arguments).arg("--offline").run().exits(3);
    }
    kubo.stop();
}

/// Enough for a folder of several blocks (HAMT), in either profile.
fn many_long_names(folder: &Path) {
    fs::create_dir_all(folder).expect("the test's own folder");
    for number in 0..1400 {
        fs::write(folder.join(long_name(number)), "x").expect("the test's own folder");
    }
}

fn long_name(number: usize) -> String {
    format!("{number:04} {}", "n".repeat(200))
}
