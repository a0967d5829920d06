// Says aloud, to who listens with a screen reader, what changed elsewhere on the page.

export function announce(text) {
  const place = document.getElementById("announcer");
  place.textContent = "";
  setTimeout(() => (place.textContent = text), 50); // a change of text is what is read
}
