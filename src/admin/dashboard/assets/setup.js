// The code behind the # of the address that `serve` prints, which browsers send to nobody, goes into the
// form. The page works without: then the code is pasted by hand.
"use strict";

const code = location.hash.slice(1);
if (code) {
  const field = document.getElementById("code");
  field.value = code;
  field.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname);
}
