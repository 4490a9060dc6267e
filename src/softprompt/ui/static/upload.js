// Shows how far an upload is. Without this module the form works as any other.

const form = document.querySelector("[data-upload]");

form?.addEventListener("submit", (event) => {
  if (!form.querySelector("input[type=file]").files.length) return;
  event.preventDefault();
  const button = form.querySelector("button.primary");
  const request = new XMLHttpRequest();
  button.disabled = true;
  request.upload.onprogress = ({ loaded, total }) => {
    button.textContent = loaded < total ? `Loading, ${Math.round((100 * loaded) / total)} %` : "Checking …";
  };
  request.onload = () => {
    if (request.responseURL && request.status < 400) location.assign(request.responseURL);
    else document.documentElement.replaceWith(request.responseXML.documentElement);
  };
  request.onerror = () => {
    button.disabled = false;
    button.textContent = "The connection broke. Try again";
  };
  request.open("POST", form.action);
  request.responseType = "document";
  request.send(new FormData(form));
});
