//go:build browser && ui

package web

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestLearnPage learns the first detector of a replay as somebody does who has given weir nothing but something to watch.
func TestLearnPage(t *testing.T) {
	b := openTab(t, 1280, 900)
	dir := t.TempDir()
	program, models := filepath.Join(dir, "weir"), filepath.Join(dir, "models")
	if out, err := exec.Command("go", "build", "-tags", "ui", "-o", program, "../cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w := start(t, program, "--models", models, "run", "-r", "../samples/demo.pcapng.zst",
		"--http", "127.0.0.1:0", "--http-token", filepath.Join(dir, "token"), "--speed", "4", "-o", os.DevNull)
	b.do(chromedp.Navigate(w.link))
	b.text("No detector judges this traffic yet")
	b.text("nothing can stand out")
	b.do(chromedp.Click(button("Learn what is normal here")))
	b.wait("location.pathname === '/learn'")

	b.do(chromedp.SetValue(`select[aria-label="Learn for"]`, "0"))
	b.do(chromedp.SetValue(`select[aria-label="in windows of"]`, "1"))
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('form select').forEach((s) => s.dispatchEvent(new Event('change', {bubbles: true})))`))
	b.do(chromedp.Click(button("Start learning")))
	// It is live: windows come without a word, and so does what is unlike the others.
	windows := `Number(document.querySelector('.health dd')?.textContent.match(/^\d+/)?.[0] ?? 0)`
	b.wait(windows + " > 5")
	before := is[int](b, windows)
	b.wait(windows + " > " + fmt.Sprint(before))
	if n := is[int](b, "document.querySelectorAll('.hours .seen').length"); n != 1 {
		t.Errorf("%d hours are seen", n)
	}
	b.wait(windows + " > 150")
	b.wait("document.querySelectorAll('tr.opens').length > 0")
	b.do(chromedp.Click(`tr.opens`))
	b.text("Flows of that time")
	b.wait("location.search.startsWith('?window=')")
	b.do(chromedp.Click(button("This is enough")))
	b.text("Train from")
	b.do(chromedp.Click(button("Put back in")))
	b.text("yes, by hand")
	b.shoot("dashboard-learn")
	b.do(chromedp.Click(chromedp.Search(`//td/button[.="Leave out"]`)))
	b.wait("!document.body.innerText.includes('yes, by hand')")

	b.do(chromedp.Click(button("Train from")))
	b.text("Training goes on beside watching")
	b.text("windows that it learned from")
	b.shoot("dashboard-learned")
	b.do(chromedp.KeyEvent("t"))
	b.shoot("dashboard-learned-dark")
	b.do(chromedp.Click(button("Promote")), chromedp.Click(chromedp.Search(`//dialog//button[.="Promote"]`)))
	b.text("is live.")
	b.text("This run takes it over with the next window")
	// And it does.
	b.text("-1 judges now.")
	b.do(chromedp.KeyEvent("1"))
	b.wait(`Number(document.querySelector('[data-name="scores"]')?.dataset.points ?? 0) > 0`)
	b.text("all is read")
	b.quiet()
	w.stop(t)
}
