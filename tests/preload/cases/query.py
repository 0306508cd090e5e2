"""Programs that read a document or a problem and answer questions about it."""

import generate
from harness import Run


def xmllint(run: Run):
    run.write("rows.xml", generate.xml_document(25000))
    run.same("count", "xmllint", "--noout", "--xpath", "count(//row[x > 60000]/*[local-name()='tag'])", "rows.xml")
    run.same("names", "xmllint", "--noout", "--xpath", "//row[position() mod 500 = 0]/name/text()", "rows.xml")
    run.keep("formatted", run.call("xmllint", "--format", "rows.xml").stdout)
    run.keep("canonical", run.call("xmllint", "--c14n", "rows.xml").stdout)
    run.same("streamed", "xmllint", "--stream", "--noout", "rows.xml")
    small = run.write("small.xml", generate.xml_document(60))
    run.same("many times", "xmllint", "--repeat", "--memory", "--noout", small)
    run.write("rows.rng", RELAX_NG)
    run.same("valid", "xmllint", "--noout", "--relaxng", "rows.rng", "rows.xml")
    run.write("broken.xml", generate.xml_document(50).replace("</row>", "</rox>", 1))
    broken = run.call("xmllint", "--noout", "--recover", "broken.xml")
    run.keep("broken", f"{broken.returncode} {broken.stderr.decode()}")
    pages = "".join(f"<p>{w}<b>{w}<i></p>" for w in generate.words(5000))
    run.keep("html", run.call("xmllint", "--html", "--xmlout", run.write("page.html", f"<html>{pages}")).stdout)


RELAX_NG = """<grammar xmlns="http://relaxng.org/ns/structure/1.0"
  datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes"><start><element name="rows"><zeroOrMore>
  <element name="row"><attribute name="id"><data type="ID"/></attribute>
  <optional><attribute name="parent"><data type="IDREF"/></attribute></optional>
  <element name="name"><text/></element><element name="x"><data type="decimal"/></element>
  <zeroOrMore><element name="tag" ns="urn:tags"><text/></element></zeroOrMore>
  </element></zeroOrMore></element></start></grammar>
"""


def jq(run: Run):
    run.write("rows.json", generate.json_document(40000))
    for name, program in {
        "groups": "group_by(.name[0:1]) | map({key: .[0].name[0:1], n: length, x: (map(.x) | add)})",
        "tags": "[.[].tags[]] | group_by(.) | map([.[0], length]) | sort_by(-.[1], .[0]) | .[0:50]",
        "objects": "map({(.name): (.tags | join(\",\"))}) | add | keys_unsorted | length",
        "strings": "map(.name | ascii_upcase | test(\"^A.*B$\")) | map(select(.)) | length",
        "reduce": "reduce .[] as $r ({}; .[$r.name[0:2]] += ($r.tags | length))",
        "paths": "[.[0:300][] | paths] | length",
    }.items():
        run.same(name, "jq", "-S", "-c", program, "rows.json")
    run.same("recursion", "jq", "-n",
             "[limit(20000; repeat(1))] | length, (def f: if . < 3000 then . + 1 | f else . end; 0 | f)")
    run.keep("formatted", run.call("jq", ".", "rows.json").stdout)
    run.keep("streamed", run.call("jq", "-c", "--stream", "select(length == 2)", "rows.json").stdout)
    broken = run.call("jq", ".", stdin="[1, 2, {\"a\": tru}")
    run.keep("broken", f"{broken.returncode} {broken.stderr.decode()}")


def _pigeons(holes):
    """More pigeons than holes: unsatisfiable, and laborious to see."""
    lines = [f"(declare-const p{i}_{k} Bool)" for i in range(holes + 1) for k in range(holes)]
    lines += [f"(assert (or {' '.join(f'p{i}_{k}' for k in range(holes))}))" for i in range(holes + 1)]
    lines += [f"(assert (not (and p{i}_{k} p{j}_{k})))"
              for k in range(holes) for j in range(holes + 1) for i in range(j)]
    return "\n".join(lines + ["(check-sat)"])


def z3(run: Run):
    """Verdicts only: which model or proof comes first may depend on addresses."""
    problems = {
        "pigeons": _pigeons(9),
        "arrays": "(declare-const a (Array Int Int))" + "".join(
            f"(declare-const i{n} Int)(assert (= (select (store a i{n} {n}) (+ i{n} 1)) {n * 7}))" for n in range(60))
            + "(check-sat)(assert (= i3 (+ i4 1)))(assert (= i4 (+ i3 1)))(check-sat)",
        "bit vectors": "(declare-const x (_ BitVec 20))(declare-const y (_ BitVec 20))"
                       "(assert (= (bvmul x y) #x35a91))(assert (bvugt x #x00001))(assert (bvult x y))(check-sat)"
                       "(assert (= (bvurem x #x00002) #x00000))(check-sat)",
        "arithmetic": "".join(f"(declare-const v{n} Int)(assert (< 0 v{n} 50))" for n in range(12))
                      + "".join(f"(assert (distinct v{n} (+ v{n - 1} 1)))"
                                f"(assert (= (mod (+ v{n} (* 3 v{n - 1})) 7) {n % 7}))" for n in range(1, 12))
                      + "(push)(check-sat)(assert (> (+ v0 v5) 120))(check-sat)(pop)(check-sat)",
        "quantifiers": "(declare-fun f (Int) Int)(assert (forall ((x Int)) (= (f (f x)) (+ x 1))))"
                       "(assert (= (f 0) 5))(assert (not (= (f 5) 1)))(check-sat)",
        "strings": "(declare-const s String)(assert (str.in_re s"
                   "(re.+ (re.union (str.to_re \"ab\") (str.to_re \"ba\")))))"
                   "(assert (= (str.len s) 10))(assert (str.prefixof \"abba\" s))(check-sat)",
    }
    for name, text in problems.items():
        answer = run.out("z3", "-smt2", "-in", stdin=text)
        run.check("error" not in answer and "sat" in answer, f"z3 on {name}: {answer}")
        run.keep(name, answer)
    model = run.out("z3", "-smt2", "-in", stdin="(declare-const x Int)(declare-const y Int)"
                                                "(assert (= (* x x) (+ (* 2 y y) 1)))"
                                                "(assert (< 3 x 50))(assert (> y 0))(check-sat)(get-value (x y))")
    run.keep("model", model)                      # 17, 12 is the only one below 50


def awk(run: Run):
    words = "\n".join(" ".join(generate.words(12, seed)) for seed in range(15000))
    run.write("words", words)
    count = "{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print w, n[w] | \"sort\" }"
    run.keep("counts", run.out("awk", count, "words").encode())
    run.same("strings", "awk", "{ gsub(/a+b/, \"<&>\"); s = s substr($0, 1, 3); n += split($0, p, /[cd]/) }"
                               " END { print length(s), n, toupper(substr(s, 1, 200)) }", "words")
    run.same("table", "awk", "BEGIN { for (i = 0; i < 300000; i++) t[i % 5000, int(i / 5000)] = i \"x\";"
                             " for (k in t) { n++; delete t[k] } print n, length(sprintf(\"%999d\", 5)) }")
