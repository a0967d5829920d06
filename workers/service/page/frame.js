// Shows the evaluation report that the page hands over. This document has an origin of its own and
// may do nothing but be looked at, so whatever a report holds stays in here.
addEventListener("message", (message) => {
  if (message.source !== parent || typeof message.data !== "string") return;
  document.open();
  document.write(message.data);
  document.close();
});
parent.postMessage("ready", "*");
